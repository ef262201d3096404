"""Mutants: one deliberate defect each, and the test that has to notice it.

Each entry: name, file, text to replace (must occur exactly once), replacement, test program, test filter.
"""

MUTANTS = [
    # Rule 7 of the barrier: the deletion shade (Yuasa).
    ('no shade of the old value', 'gc/mutator/barrier.cc', '      gc::shade(m, old_value);\n', '',
     'stepper_test', '*ABlackStackMayTakeTheLastReference*'),
    # The insertion shade (Dijkstra).
    ('no shade of the new value', 'gc/mutator/barrier.cc', '== 0) gc::shade(m, new_value);\n', '== 0) {}\n',
     'stepper_test', '*AGreyStackMayPublish*'),
    # ... until every stack is black.
    ('stacks count as black while they are scanned', 'gc/model/phase.cc',
     'std::uint8_t{next == MarkState::marking}', 'std::uint8_t{1}', 'stepper_test', '*AGreyStackMayPublish*'),
    ('a black thread does not shade the new value', 'gc/mutator/barrier.cc',
     'if (__atomic_load_n(&stacks_are_black, __ATOMIC_RELAXED) == 0) gc::shade(m, new_value);',
     'if (m.scanned_cycle != gc::current_cycle.load()) gc::shade(m, new_value);',
     'stepper_test', '*ABlackStackMayCopyFromAVariableOfAGreyOne*'),
    ('new values are shaded for ever', 'gc/model/phase.cc',
     'std::uint8_t{next == MarkState::marking}', 'std::uint8_t{0}', 'stepper_test', '*OnlyDeletionsAreShaded*'),
    # Rule 11: candidates come from the snapshot.
    ('no snapshot at the stack scan', 'gc/mutator/handshake.cc',
     'take_snapshot(span, cycle, first, end);', 'static_cast<void>(span), static_cast<void>(first), static_cast<void>(end);',
     'stepper_test', '*ObjectsBornAfterTheScanAreNotFreed*'),
    # Shades skip the thread's newest hole, in its own cycle only.
    ('a hole opened after handshake 3 is not shaded in the next cycle', 'gc/sweep/span_supply.cc',
     'if (stage.born_black && !stage.fresh_only) {', 'if (stage.born_black) {',
     'stepper_test', '*AreShadedInTheNextCycle*'),
    ('a shade that comes too late to cancel may mark', 'gc/model/phase.cc',
     'expected != MarkState::done;', 'true;',
     'phase_test', '*CancellingTooLate*'),
    ('no snapshot of spans taken after the scan', 'gc/sweep/span_supply.cc',
     'if (stage.born_black) take_snapshot', 'if (stage.born_black && false) take_snapshot',
     'stepper_test', '*ObjectsBornInSpansTakenAfterTheScan*'),
    ('a root is read by a thread that is not attached', 'include/lull/detail/thread_block.h',
     'if (thread_block.mutator == nullptr) [[unlikely]] attach_calling_thread();', '',
     'threads_test', '*AttachesAtItsFirstLookAtARoot*'),
    # Young cycles: cards, rule 13, and what counts as old.
    ('a young cycle does not scan dirty cards', 'gc/cycle/cycle.cc',
     '  if (kind_ == CycleKind::young) dirty_cards.scan(marker);\n', '',
     'young_test', '*KeepsWhatAnOldObjectRefersTo*'),
    ('cards are cleaned after the stack scans', 'gc/cycle/cycle.cc',
     '  handshake(HandshakeOp::scan_stack);\n', '  handshake(HandshakeOp::scan_stack);\n  reach(Step::stacks_scanned);\n  dirty_cards.take(kind_);\n',
     'young_test', '*AReferenceStoredMeanwhile*stacks_scanned*'),
    ('stores do not dirty cards', 'include/lull/detail/barrier.h',
     '  dirty_card(slot);\n  shade_if_marking', '  shade_if_marking',
     'young_test', '*KeepsWhatAnOldObjectRefersTo*'),
    ('the last card of a page is not taken', 'gc/remember/cards.cc',
     'i < kWordsPerPage; ++i', 'i + 1 < kWordsPerPage; ++i',
     'young_test', '*FindsEverySlotOfAnOldArray*'),
    ('spans with young objects are tenured', 'gc/sweep/sweeper.cc',
     '  if (swept.tenured) c.put_tenured', '  if (swept.objects != 0) c.put_tenured',
     'young_test', '*DoesNotPromoteWhatIsBornMeanwhile*'),
    ('a young cycle forgets the marks', 'gc/cycle/cycle.cc',
     'if (kind_ == CycleKind::full) mark_epoch.store', 'mark_epoch.store',
     'young_test', '*TracesOnlyWhatIsYoung*'),
    ('a young cycle may follow an aborted one', 'gc/cycle/driver.cc',
     'attempt > 0 || last_was_aborted ? CycleKind::full : kind_of_cycle(number)', 'kind_of_cycle(number)',
     'young_test', '*AFullCycleFollowsAnAbortedOne*'),
    # Rule 9: a flush round.
    ('no flush round', 'gc/cycle/cycle.cc', '  handshake(HandshakeOp::flush);\n  reach(Step::flushed);', '  reach(Step::flushed);',
     'stepper_test', '*TerminationWaitsForWhatBarriersHaveGreyed*'),
    # Rule 3: keep-alive. What is kept is not the pointer but a form of it that no scan recognises.
    ('the old value is kept in a disguised form only', 'include/lull/detail/barrier.h',
     '''  const Word old_value = load_word(slot);
  // release: publishes the object's contents to the marker, pairs with the acquire in tracer::visit
  __atomic_store_n(slot, new_value, __ATOMIC_RELEASE);
  after_store(slot, old_value, new_value);''',
     '''  Word disguised = ~load_word(slot);
  asm volatile("" : "+r"(disguised));
  __atomic_store_n(slot, new_value, __ATOMIC_RELEASE);
  dirty_card(slot);
  asm volatile("" : "+r"(disguised)::"memory");
  if (thread_block.barrier_on) barrier_slow(slot, ~disguised, new_value);''',
     'single_step_test', '*AStoreKeepsBothValues*'),
    # Rule 12: address first, then visible.
    ('the object is visible before its address is in a register', 'include/lull/make.h',
     '''  asm volatile("" : "+r"(object));
  slot.cursor = next;
  asm volatile("" : "+r"(object)::"memory");''',
     '''  object = ~object;
  asm volatile("" : "+r"(object));
  slot.cursor = next;
  asm volatile("" : "+r"(object)::"memory");
  object = ~object;''',
     'single_step_test', '*AnAllocationHasTheAddress*'),
    ('weak lock ignores the state done', 'gc/weak/weak_cells.cc', '  if (is_white(word)) return 0;\n', '',
     'stepper_test', '*LockAfterTerminationYieldsNothing*'),
    ('weak cells are not cleared', 'gc/cycle/cycle.cc', '  clear_weak_cells(kind_);\n', '',
     'stepper_test', '*LockAfterTerminationYieldsNothing*'),
    ('spans of weak cells stay settled when somebody has allocated in them', 'gc/sweep/sweeper.cc',
     '  index_taken(c, *span);', '  static_cast<void>(index_taken);', 'young_test', '*ACellMadeDuringACycle*'),
    ('destroy deletes references without a shade', 'gc/weak/destroy.cc', 'barrier_on != 0) shade(m, old);', 'barrier_on != 0) static_cast<void>(old);',
     'destroy_test', '*ShadesWhatItScribblesOver*'),
    ('stacks are not scanned', 'gc/mutator/handshake.cc', '  scan_stack(m, at);\n  hand_grey_over(m);\n}\n\nvoid do_flush',
     '  if (false) scan_stack(m, at);\n  hand_grey_over(m);\n}\n\nvoid do_flush', 'stepper_test', '*AReferenceThatMoves*'),
    ('registers of a blocked thread are not kept', 'gc/mutator/handshake.cc', '    m.saved[n++] = ', '    m.saved[n++] = 0 & ',
     'stack_scan_test', '*'),
    ('the sweep frees marked objects', 'gc/sweep/sweeper.cc', 'const bool has_marks = ', 'const bool has_marks = false && ',
     'stepper_test', '*AReferenceThatMoves*'),
    ('a new thread forgets which cycle it came into', 'gc/mutator/registry.cc',
     'else m->scanned_cycle = m->left_cycle = mutators.off_cycle;', 'else m->scanned_cycle = m->left_cycle = 0;',
     'stepper_test', '*ThreadsComeAndGoAtAnyStep*'),
    ('roots are not marked', 'gc/cycle/cycle.cc', '  mark_roots(marker);\n  do {', '  do {', 'stepper_test', '*'),
    # malloc.
    ('malloc: a full bin lets the purger start before its array is in order', 'alloc/front/thread_bins.cc',
     '  give_blocks(r.blocks, older);\n', '  give_blocks(r.blocks, older);\n  after_giving();\n',
     'malloc_reentry_test', '*WithinFree*'),
    ('malloc: bins let the purger start before their arrays are in order', 'alloc/front/thread_bins.cc',
     'give_blocks(r.blocks, count_of(t, b));\n', '{ give_blocks(r.blocks, count_of(t, b)); after_giving(); }\n',
     'malloc_reentry_test', '*WithinTrim*'),
    ('malloc: an array that is outgrown keeps its blocks', 'alloc/front/thread_bins.cc',
     '    std::copy_n(r.blocks, count, longer);\n', '', 'malloc_test', '*'),
    ('malloc: spans do not tell who takes from them', 'alloc/front/thread_bins.cc', '      if (is_marked(b)) mark_pages(*r.held, t.mark);\n', '',
     'malloc_test', 'Neighbours.*'),
    ('malloc: a thread never looks away from strangers', 'alloc/front/thread_bins.cc', '  t.foreign = 0;\n', '', 'malloc_test', 'Neighbours.*'),
    ('malloc: strangers stay when a thread ends', 'alloc/front/thread_bins.cc',
     '  give_blocks(t.strangers.blocks, std::exchange(t.strangers.count, 0));\n  after_giving();\n}\n\nvoid release', '}\n\nvoid release',
     'malloc_test', 'Neighbours.*'),
    ('malloc: a sized free knows nothing of realloc', 'alloc/front/heap.cc',
     '  return have == good_size(bytes) || (bytes <= have && have <= kSmallMost && bytes * 2 > have);',
     '  return have == good_size(bytes);', 'malloc_test', 'FreeSized.*'),
    ('malloc: calloc trusts pages that were used', 'alloc/front/large_block.cc', '  zero = span->needs_zero == 0;', '  zero = true;',
     'malloc_fuzz_test', '*'),
    ('malloc: nobody links a span that has free blocks again', 'alloc/front/central.cc',
     '  if (!(before & kLinked)) central[bin].spans.push(&span);\n', '', 'malloc_test', 'Memory.AllOfItIsBack*'),
    ('malloc: a dead span is taken for an exhausted one', 'alloc/front/central.cc',
     '      if (state & kDead) break;', '      if (false) break;', 'malloc_test', 'Threads.ShareSpans*:Memory.*'),
    ('malloc: a held span is retired', 'alloc/front/central.cc', '(before & kLinked) && !(before & kHeld) &&', '(before & kLinked) &&',
     'malloc_test', 'Memory.AllOfItIsBack*'),
    ('malloc_allocator: over-aligned types get any block', 'include/lull/malloc_allocator.h',
     'kOverAligned ? lull_aligned_alloc(alignof(T), bytes) : lull_malloc(bytes)', 'lull_malloc(bytes)',
     'malloc_allocator_test', '*Alignment*'),
    ('heap: spans with given blocks are not put into the set', 'alloc/front/heap_span.cc',
     '  if (!(state & kLinked)) given.push(&span);\n', '  static_cast<void>(given);\n', 'heap_test', '*TrimGivesBack*'),
    ('heap: who frees from outside does not look at the free bits', 'alloc/front/heap_span.cc',
     '  if (span.free_bits()[place.word].load(std::memory_order_relaxed) & place.bit)\n', '  if (false)\n', 'heap_test', '*DoubleFree*'),
    ('heap: a full span that has free blocks again stays with the full ones', 'alloc/front/heap_object.cc',
     '  const bool is_current = span.list() == nullptr;', '  const bool is_current = true;', 'heap_test', '*Reuse*:*GiveEmpty*'),
    ('heap: given blocks count as used', 'alloc/front/heap_span.h',
     '         ~span.given_bits()[word].load(std::memory_order_relaxed);', '         ~std::uint64_t{0};', 'heap_fuzz_test', '*NoOthers*'),
    # Under a limit of address space.
    ('a heap on demand leaves nothing for others', 'alloc/pages/reservation.cc', 'has_room_for(bytes + reservation.size / kPartLeftOnDemand)',
     'has_room_for(bytes)', 'reservation_test', '*NearlyAllOfIt*'),
    ('a heap on demand maps what it has again', 'alloc/pages/reservation.cc', '  if (end.value <= mapped_pages) return true;', '  if (false) return true;',
     'reservation_test', '*AFailureWhileTheHeapGrows*'),
    # malloc's secure mode.
    ('secure: a freed block stays live', 'alloc/front/secure.cc', '.fetch_and(~bit_of(slot), std::memory_order_acq_rel)',
     '.load(std::memory_order_relaxed)', 'secure_test', 'SecureDeathTest.DoubleFree*'),
    ('secure: free leaves what was in the block', 'alloc/front/secure.cc', '  std::memset(address, 0, span->slot_bytes);\n', '',
     'secure_test', 'Secure.FreedBlocks*'),
    ('secure: free blocks are not looked at', 'alloc/front/secure.cc', '    if (word != 0) [[unlikely]] report',
     '    if (false) [[unlikely]] report', 'secure_test', '*WriteAfterFree'),
    ('secure: pages that were used hold what they held', 'alloc/front/central.cc', '  if (secure && span->needs_zero)', '  if (false)',
     'secure_test', 'Secure.PagesOfOthers*'),
    ('secure: no guard behind a span', 'alloc/pages/span_table.cc', '  if (os::install_guard(', '  if (false && os::install_guard(', 'secure_test', 'SecureDeathTest.*'),
    ('secure: a guard page is forgotten when its span goes', 'alloc/pages/span_table.cc',
     '  if (has_guard(first + pages) &&', '  if (false && has_guard(first + pages) &&', 'secure_test', 'Secure.AllIsBack*'),
    ('secure: no quarantine', 'alloc/front/secure.cc', '    pushed_out = std::exchange(s.waiting[s.random.below(waiting_of(bin))], address);',
     '    pushed_out = address;', 'secure_test', 'Secure.AFreedBlockWaits*'),
    ('secure: the lowest free block is taken', 'alloc/front/secure.cc', 'random.below(free)', '0 * random.below(free)',
     'secure_test', 'Secure.BlocksOfOneSize*'),
    ('secure: a child draws its parent\'s numbers', 'alloc/os/random.cc', ' || generation_ != generation.load(std::memory_order_relaxed)', '',
     'secure_test', 'Secure.TwoProcesses*'),
    ('secure: no bound on guards that are mappings', 'alloc/os/guard_pages.cc',
     'mappings.fetch_add(1, std::memory_order_relaxed) < most_mappings.load(std::memory_order_relaxed) &&',
     'mappings.fetch_add(1, std::memory_order_relaxed) < ~0u &&', 'secure_test', 'Secure.OnAnOldKernel*'),
]
