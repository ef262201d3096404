// What the purger does for malloc, about once a second as long as there may be something to do: empties the bins of threads
// that sleep, and gives back idle pages of partly used spans. These wake it; each costs a load when it is awake.
#pragma once

namespace lull::front {

void begin_background();   // as LULL_MALLOC=purger asks; once, at the start
void note_blocks_given();  // to the central store
void note_blocks_taken();  // from it, by a thread that may fall asleep with them; its bins are whole: this may start a thread

}  // namespace lull::front
