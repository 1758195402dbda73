/* SPDX-License-Identifier: MIT The memory of streams that have ended is kept for those to come:
 * many end at once, more than malloc caches. Under ASan none is kept, so that uses after the end
 * are found.
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
