// All hot loops for one instruction set. The including file sets SPLAT_LANES, SPLAT_KERNELS (the name of the table) and
// the compiler's target, after engine.h has brought in the standard headers: a standard inline function compiled here for
// AVX-512 could otherwise be the copy that the linker keeps for everybody.
namespace splat {
namespace {
#include "lanes.h"
#include "blend.h"
#include "tiles.h"
#include "harmonics.h"
#include "project.h"
#include "ssim.h"
#include "adam.h"
}  // namespace
const Kernels SPLAT_KERNELS = {SPLAT_NAME, project, project_backward, find_spans, blend, blend_backward,
                               image_loss_rows, adam_rows};
}  // namespace splat
