// The leak watch's part of the end of a cycle.
#pragma once

namespace lull::gc {

void note_for_leak_watch();  // driver, after note_live_by_type()

}  // namespace lull::gc
