"""lull in GDB: what pointers and containers hold, and what the heap knows of an address. Reads memory only; runs nothing of the program.

    (gdb) source PREFIX/share/lull/gdb/lull.py       # or put that line into ~/.gdbinit

    print p                    lull::ptr, root, weak_ptr, element_ptr, vector, string, map, set, unordered_map, unordered_set, arena, spans
    lull object ADDRESS        the managed object that ADDRESS points into: type, slot, span, marks and age
    lull heap                  pages by use, types by bytes, the collector's state
    lull spans [TYPE]          spans of managed objects, of types whose name contains TYPE

The commands need lull built with debugging information; the printers need only the program's.
"""

import re

import gdb
import gdb.printing

PAGE_SHIFT = 13
EMPTY_PARTS = 16  # of 512 MiB of heap, without a page in use: nothing comes behind them


# Values.

def field(value, name):
    """The member `name` of `value` or of one of its bases and the members that they consist of; None: there is none."""
    kind = value.type.strip_typedefs()
    if kind.code not in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        return None
    bases = []
    for f in kind.fields():
        if not hasattr(f, "bitpos"):
            continue  # static
        if f.name == name and not f.is_base_class:
            return value[f]
        if f.is_base_class:
            bases.append(f)
    for f in bases:
        found = field(value[f], name)
        if found is not None:
            return found
    return None


def atomic(value):
    """What a std::atomic holds; other values as they are."""
    for name in ("_M_i", "_M_b"):
        inner = field(value, name)
        if inner is not None:
            return atomic(inner)
    inner = field(value, "_M_p")
    return value if inner is None else inner


def number(value):
    return int(atomic(value).cast(gdb.lookup_type("unsigned long")))


def word_of(slot):
    """The address that a ptr, an element_ptr or the like holds."""
    inner = field(slot, "slot_")
    return int(field(slot if inner is None else inner, "word_"))


def pointed(kind, address):
    return gdb.Value(address).cast(kind.pointer())


def text_of_view(view):
    """A std::string_view's."""
    length = int(view["_M_len"])
    return view["_M_str"].string(length=length, errors="replace") if length else ""


def argument(kind, n):
    return kind.strip_typedefs().unqualified().template_argument(n)


# Printers.

class Ptr:
    """ptr<T>, root<T>, atomic_ptr<T>, element_ptr<T>: the address with what lies there as the only child."""

    def __init__(self, value):
        self.value, self.name = value, value.type.strip_typedefs().name.split("<")[0]
        self.kind = argument(value.type, 0)

    def address(self):
        cell = field(self.value, "cell_")
        if cell is not None:  # a root's cell in the table; none when it was never assigned
            return int(cell.dereference()) if int(cell) else 0
        inner = field(self.value, "word_")
        return word_of(self.value) if inner is None or inner.type.strip_typedefs().code != gdb.TYPE_CODE_STRUCT else word_of(inner)

    def is_array(self):
        return self.kind.strip_typedefs().code == gdb.TYPE_CODE_ARRAY

    def length(self):
        size_t = gdb.lookup_type("unsigned long")
        return int(pointed(size_t, self.address() - size_t.sizeof).dereference())  # detail::ArrayHeader, in front of the elements

    def to_string(self):
        address = self.address()
        if address == 0:
            return f"{self.name}(nullptr)"
        return f"{self.name}({address:#x}" + (f", {self.length()} elements)" if self.is_array() else ")")

    def children(self):
        address = self.address()
        kind = self.kind.strip_typedefs()
        if address == 0 or kind.code == gdb.TYPE_CODE_VOID:
            return
        if self.is_array():
            first = pointed(kind.target(), address)
            for i in range(self.length()):
                yield f"[{i}]", (first + i).dereference()
        else:
            yield "*", pointed(self.kind, address).dereference()


class ElementPtr(Ptr):
    def children(self):
        return iter(())  # an iterator: its end has nothing to show


class WeakPtr:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        cell = word_of(self.value["cell_"])
        if cell == 0:
            return "lull::weak_ptr(empty)"
        referent = int(pointed(gdb.lookup_type("unsigned long"), cell).dereference())
        return f"lull::weak_ptr({referent:#x})" if referent else "lull::weak_ptr(expired)"


class Vector:
    def __init__(self, value):
        self.holder = field(value, "m_holder")
        self.kind = argument(container_of(value.type), 0)

    def to_string(self):
        return f"lull::vector of {int(self.holder['m_size'])}, capacity {int(self.holder['m_capacity'])}"

    def children(self):
        first = pointed(self.kind, word_of(self.holder["m_start"]))
        for i in range(int(self.holder["m_size"])):
            yield f"[{i}]", (first + i).dereference()

    def display_hint(self):
        return "array"


class String:
    """boost::container::basic_string: in itself, or a long_t behind a pointer; the first bit tells which."""

    def __init__(self, value):
        self.members = field(value, "members_")
        self.kind = argument(container_of(value.type), 0)

    def to_string(self):
        repr_ = self.members["m_repr"]
        short = repr_["s_aligner"] if any(f.name == "s_aligner" for f in repr_.type.fields()) else repr_["s"]
        head = short["h"]
        if int(head["is_short"]):
            at, length = int(short["data"].address), int(head["length"])
        else:  # length:63 behind the bit, storage, start
            words = pointed(gdb.lookup_type("unsigned long"), int(repr_.address))
            at, length = int(words[2]), int(words[0]) >> 1
        if length == 0:
            return ""
        return pointed(self.kind, at).lazy_string(length=length)

    def display_hint(self):
        return "string"


class Tree:
    """map and set: boost::intrusive's tree, in order."""

    def __init__(self, value):
        self.value = value
        self.is_map = "::map<" in container_of(value.type).name
        self.root = field(field(field(value, "m_icont"), "holder"), "root")
        self.node = next(argument(f.type, 0) for f in base_named(value.type, "node_alloc_holder").fields()
                         if f.is_base_class and f.type.strip_typedefs().name.startswith("lull::allocator<"))
        self.kind = argument(base_named(value.type, "::tree<"), 0)

    def size(self):
        return int(field(field(self.value, "m_icont"), "size_"))

    def to_string(self):
        return f"lull::{'map' if self.is_map else 'set'} of {self.size()}"

    def link(self, address, name):
        return word_of(field(pointed(self.node, address).dereference(), name))

    def nodes(self):
        """The header's left_ is the first node, its parent_ the root."""
        header, at = int(self.root.address), word_of(field(self.root, "left_"))
        for _ in range(self.size()):
            yield at
            right = self.link(at, "right_")
            if right:
                at = right
                while self.link(at, "left_"):
                    at = self.link(at, "left_")
            else:
                came, at = at, self.link(at, "parent_")
                while at != header and self.link(at, "right_") == came:
                    came, at = at, self.link(at, "parent_")

    def children(self):
        for i, at in enumerate(self.nodes()):
            node = pointed(self.node, at).dereference()
            data = field(node, "m_storage")
            if data is None:
                data = field(node, "m_data")
            item = pointed(self.kind, int(data.address)).dereference()
            yield from pair_or_item(i, item, self.is_map)

    def display_hint(self):
        return "map" if self.is_map else "array"


class Hashed:
    """unordered_map and unordered_set: nodes in one list that begins behind the last bucket (Boost before 1.80)."""

    def __init__(self, value):
        self.table = field(value, "table_")
        self.is_map = "unordered_map<" in container_of(value.type).name
        self.kind = argument(next(f.type for f in container_of(value.type).fields() if f.name == "table_"), 0)

    def to_string(self):
        return f"lull::unordered_{'map' if self.is_map else 'set'} of {int(self.table['size_'])}"

    def children(self):
        if not any(f.name == "bucket_count_" for f in self.table.type.strip_typedefs().fields()) or int(self.table["size_"]) == 0:
            return
        buckets = self.table["buckets_"]
        first = pointed(argument(buckets.type, 0), word_of(buckets)) + int(self.table["bucket_count_"])
        at = field(first.dereference(), "next_")
        node_kind, address = argument(at.type, 0), word_of(at)
        if "::bucket<" in argument(buckets.type, 0).strip_typedefs().name:  # a node without a value comes first
            address = word_of(field(pointed(node_kind, address).dereference(), "next_"))
        for i in range(int(self.table["size_"])):
            node = pointed(node_kind, address).dereference()
            base = field(node, "value_base_")
            data = field(node if base is None else base, "data_")
            value_kind = argument(node_kind, 1)
            yield from pair_or_item(i, pointed(value_kind, int(data.address)).dereference(), self.is_map)
            address = word_of(field(node, "next_"))

    def display_hint(self):
        return "map" if self.is_map else "array"


def pair_or_item(i, item, is_map):
    if is_map:
        yield f"key {i}", item["first"]
        yield f"value {i}", item["second"]
    else:
        yield f"[{i}]", item


def container_of(kind):
    """The Boost container that a managed_container is."""
    return argument(kind, 0).strip_typedefs()


def base_named(kind, part):
    """The first base whose name contains `part` before its arguments, or as a whole."""
    for f in kind.strip_typedefs().fields():
        if not f.is_base_class:
            continue
        name = f.type.strip_typedefs().name
        if part in name.split("<")[0] + "<":
            return f.type.strip_typedefs()
        found = base_named(f.type, part)
        if found is not None:
            return found
    return None


class Container:
    """Which printer a managed_container wants."""

    PRINTERS = (("::vector<", Vector), ("::basic_string<", String), ("::map<", Tree), ("::set<", Tree), ("unordered_map<", Hashed),
                ("unordered_set<", Hashed))

    def __new__(cls, value):
        head = container_of(value.type).name.split("<")[0] + "<"
        return next((printer(value) for part, printer in cls.PRINTERS if head.endswith(part)), None)


class Arena:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        cursor, limit, begin = (int(field(self.value, name)) for name in ("cursor_", "limit_", "begin_"))
        used = int(field(self.value, "used_before_")) + cursor - begin
        kind = self.value.type.strip_typedefs().name
        return f"{kind}: {used} bytes handed out, {limit - cursor} left in the chunk"


class SpanPrinter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        return Span(self.value).describe()


def build_printers():
    printers = gdb.printing.RegexpCollectionPrettyPrinter("lull")
    for name in ("ptr", "root", "atomic_ptr", "atomic_root"):
        printers.add_printer(name, f"^lull::{name}<.*>$", Ptr)
    printers.add_printer("element_ptr", "^lull::element_ptr<.*>$", ElementPtr)
    printers.add_printer("weak_ptr", "^lull::weak_ptr<.*>$", WeakPtr)
    printers.add_printer("managed_container", "^lull::managed_container<.*>$", Container)
    printers.add_printer("arena", "^lull::(traced_)?arena$", Arena)
    printers.add_printer("Span", "^lull::pages::Span$", SpanPrinter)
    return printers


# The heap.

def variable(name):
    """A variable of lull's. Those in anonymous namespaces are found by their demangled name."""
    try:
        return gdb.parse_and_eval(f"'{name}'")
    except gdb.error as error:
        raise gdb.GdbError(f"lull's {name} is not here ({error}): is the program linked with lull, and lull built with debugging information?")


class Heap:
    """The reservation and its tables."""

    CLASSES = {0: "not in use", 1: "managed", 2: "large blocks of malloc", 3: "small heap objects", 4: "large heap objects", 5: "guard",
               6: "root cells"}

    def __init__(self):
        r = variable("lull::pages::reservation")
        self.base, self.size = int(r["base"]), int(r["size"])
        self.classes, self.owners, self.cells = r["classes"], r["owners"], int(r["span_cells"])
        self.span_type = gdb.lookup_type("lull::pages::Span")

    def page_of(self, address):
        return (address - self.base) >> PAGE_SHIFT

    def holds(self, address):
        return 0 <= address - self.base < self.size

    def class_of(self, page):
        return number((self.classes + page).dereference())

    def span_at(self, number_):
        return Span(pointed(self.span_type, self.cells + 64 * number_).dereference())

    def span_of(self, address):
        """The managed span; None: there is none."""
        if not self.holds(address) or self.class_of(self.page_of(address)) != 1:
            return None
        return self.span_at(number((self.owners + self.page_of(address)).dereference()))

    def managed_spans(self):
        page, end = 0, self.pages()
        table = gdb.selected_inferior().read_memory(int(self.classes), 2 * end).tobytes()
        while page < end:
            if table[2 * page] != 1 or table[2 * page + 1] != 0:
                page += 1
                continue
            span = self.span_of(self.base + (page << PAGE_SHIFT))
            yield span
            page += max(span.pages, 1)

    def pages(self):
        """Up to the last one in use. The tables are readable to their end; the page heap takes pages from the start on."""
        inferior, step, end, last = gdb.selected_inferior(), 1 << 16, self.size >> PAGE_SHIFT, 0
        for first in range(0, end, step):
            part = inferior.read_memory(int(self.classes) + 2 * first, 2 * min(step, end - first)).tobytes().rstrip(b"\0")
            if part:
                last = first + (len(part) + 1) // 2
            elif first > last + EMPTY_PARTS * step:
                break
        return last


class Span:
    def __init__(self, value):
        self.value = value
        self.base, self.slot_bytes, self.slots = int(value["base"]), int(value["slot_bytes"]), int(value["slots"])
        self.pages, self.words = int(value["page_count"]), int(value["words"])

    def bits(self, n):
        start = int(self.value.address) + self.value.type.sizeof + 8 * n * self.words
        return pointed(gdb.lookup_type("unsigned long"), start)

    def is_set(self, n, slot):
        return int((self.bits(n) + slot // 64).dereference()) >> (slot % 64) & 1

    def count(self, n):
        return sum(bin(int((self.bits(n) + w).dereference())).count("1") for w in range(self.words))

    def kind(self):
        address = int(self.value["kind"])
        return pointed(gdb.lookup_type("lull::detail::Kind"), address).dereference() if address else None

    def type_name(self):
        kind = self.kind()
        return text_of_view(kind["name"]) if kind is not None else "?"

    def slot_of(self, address):
        return (address - self.base) // self.slot_bytes

    def address_of(self, slot):
        return self.base + slot * self.slot_bytes

    def marks_count(self):
        return number(self.value["mark_cycle"]) == number(variable("lull::gc::mark_epoch"))

    def describe(self):
        if self.base == 0:
            return "lull::pages::Span (not in use)"
        if int(self.value["bitmaps"]) < 3:
            return f"lull::pages::Span {self.base:#x}, {self.pages} pages, {self.slots} blocks of {self.slot_bytes} B of malloc"
        marked = f"{self.count(2)} marked" if self.marks_count() else "no marks"
        return (f"lull::pages::Span {self.base:#x}, {self.pages} pages, {self.slots} x {self.slot_bytes} B of {self.type_name()}, "
                f"{self.count(0)} in use, {marked}")


def threads():
    """The collector's records of attached threads."""
    m = variable("lull::gc::mutators")["first"]
    while int(m):
        yield m.dereference()
        m = m["next"]


def hole_with(span, address):
    """(thread, allocated) when the address lies in the hole that a thread is filling; there the bits are not set yet."""
    index = int(pointed(gdb.lookup_type("lull::cache::SpanClass"), int(span.value["owner_class"])).dereference()["index"])
    for m in threads():
        slot = (m["cache"]["slots_"] + index).dereference()
        if int(slot["begin"]) <= address < int(slot["limit"]):
            return int(m["tid"]), address < int(slot["cursor"])
    return None


def state_of(span, slot):
    """In words: is there an object, and how old."""
    hole = hole_with(span, span.address_of(slot))
    if hole is not None:
        return f"new: allocated by thread {hole[0]} since the last cycle" if hole[1] else f"free, in the hole that thread {hole[0]} fills"
    if not span.is_set(0, slot):
        return "free"
    if span.marks_count() and span.is_set(2, slot):
        return "in use, marked: old"
    return "in use, not marked: young, or garbage"


class LullCommand(gdb.Command):
    """What lull's heap holds: lull object ADDRESS, lull heap, lull spans [TYPE]."""

    def __init__(self):
        super().__init__("lull", gdb.COMMAND_DATA, prefix=True)

    def invoke(self, argument_, from_tty):
        gdb.execute("help lull")


class LullObject(gdb.Command):
    """The managed object that an address, or a ptr, points into: lull object EXPRESSION."""

    def __init__(self):
        super().__init__("lull object", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, text, from_tty):
        if not text:
            raise gdb.GdbError("lull object EXPRESSION")
        value = gdb.parse_and_eval(text)
        name = value.type.strip_typedefs().name or ""
        address = Ptr(value).address() if re.match("lull::(ptr|root|element_ptr|atomic_ptr|atomic_root)<", name) else int(value)
        heap = Heap()
        if not heap.holds(address):
            print(f"{address:#x} does not lie in lull's heap [{heap.base:#x}, {heap.base + heap.size:#x})")
            return
        span = heap.span_of(address)
        if span is None:
            entry = heap.class_of(heap.page_of(address))
            print(f"{address:#x} lies in no managed span: its page holds {Heap.CLASSES.get(entry, 'small blocks of malloc')}")
            return
        slot = span.slot_of(address)
        if slot >= span.slots:
            print(f"{address:#x} lies behind the last slot of its span")
            return
        start = span.address_of(slot)
        print(f"{span.type_name()} at {start:#x}" + (f" + {address - start}" if address != start else "") + f", slot of {span.slot_bytes} B")
        print(f"  {state_of(span, slot)}")
        print(f"  slot {slot} of {span.slots} in the span at {span.base:#x} ({span.pages} pages)")


class LullHeap(gdb.Command):
    """Pages by use, managed types by bytes, and where the collector is: lull heap."""

    def __init__(self):
        super().__init__("lull heap", gdb.COMMAND_DATA)

    def invoke(self, argument_, from_tty):
        heap = Heap()
        end = heap.pages()
        table = gdb.selected_inferior().read_memory(int(heap.classes), 2 * end).tobytes() if end else b""
        uses = {}
        for page in range(end):
            low = table[2 * page]
            use = Heap.CLASSES.get(low, "small blocks of malloc")
            uses[use] = uses.get(use, 0) + 1
        print(f"heap [{heap.base:#x}, {heap.base + heap.size:#x}), {end} pages of 8 KiB so far")
        for use, pages in sorted(uses.items(), key=lambda item: -item[1]):
            print(f"  {pages * 8:>10} KiB  {use}")
        state = str(atomic(variable("lull::gc::mark_state"))).rsplit("::", 1)[-1]
        print(f"collector: cycle {number(variable('lull::gc::current_cycle'))}, last full one {number(variable('lull::gc::mark_epoch'))}, "
              f"{'marking: ' + state if state != 'off' else 'idle or sweeping'}; {sum(1 for _ in threads())} threads attached")
        types = {}
        for span in heap.managed_spans():
            row = types.setdefault(span.type_name(), [0, 0, 0])
            used = span.count(0)
            row[0] += used * span.slot_bytes
            row[1] += used
            row[2] += span.pages
        print("types (what threads allocate in holes they are filling is not counted):")
        print(f"  {'bytes':>12} {'objects':>10} {'pages':>7}  type")
        for name, (used, objects, pages) in sorted(types.items(), key=lambda item: -item[1][0]):
            print(f"  {used:>12} {objects:>10} {pages:>7}  {name}")


class LullSpans(gdb.Command):
    """Spans of managed objects, or of types whose name contains TEXT: lull spans [TEXT]."""

    def __init__(self):
        super().__init__("lull spans", gdb.COMMAND_DATA)

    def invoke(self, text, from_tty):
        for span in Heap().managed_spans():
            if text in span.type_name():
                print(span.describe()[len("lull::pages::Span "):])


gdb.printing.register_pretty_printer(gdb.current_objfile(), build_printers(), replace=True)
LullCommand()
LullObject()
LullHeap()
LullSpans()
