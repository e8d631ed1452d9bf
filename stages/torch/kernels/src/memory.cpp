// Memory that is given back and asked for again all the time.

#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

extern "C" {

/// Tells the C library to keep memory that is given back, instead of handing it to the system, whose pages
/// have to be cleared and found again.
void kernels_keep_memory() {
#ifdef __GLIBC__
  // Larger blocks are asked for from the system one by one. Before 2.35, glibc takes no such threshold.
  if (!mallopt(M_MMAP_THRESHOLD, 1 << 30)) mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
}
}
