/* SPDX-License-Identifier: MIT
 * Keeps the memory of ended streams for new ones: often more streams end at once than malloc
 * caches. Under ASan nothing is kept, so that it finds uses after free.
 */
#ifndef CORE_ENGINE_SPARES_H
#define CORE_ENGINE_SPARES_H

#ifdef __has_feature
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#ifdef __SANITIZE_ADDRESS__
#define SPARES_MAX 0u
#else
#define SPARES_MAX 512u
#endif

#endif
