/* SPDX-License-Identifier: MIT
 * Circular doubly linked lists whose links are embedded in the members.
 *
 * A list allocates nothing and owns nothing: whoever frees a member removes it first.  All calls
 * but list_for_each take constant time.  Nothing here locks: one thread at a time uses a list.
 *
 * A `struct list` must have been initialised with list_init before any other use, and must not be
 * moved or copied afterwards, because its first and last members point to it.  A `struct list_link`
 * needs only to be zeroed, which means that it is in no list.
 *
 *     struct job {
 *         int id;
 *         struct list_link link; // in queue.jobs
 *     };
 *     list_append(&queue->jobs, &job->link);
 *     list_for_each(link, &queue->jobs) {
 *         struct job *job = container_of(link, struct job, link);
 *         ...
 *     }
 */
#ifndef CORE_COMMON_LIST_H
#define CORE_COMMON_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_link {
    struct list_link *prev, *next;
};

struct list {
    struct list_link ends; /* next: the first member, prev: the last; itself if there are none */
};

/* The struct of this type whose `member` lies at `ptr`. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *list) {
    list->ends.prev = list->ends.next = &list->ends;
}

/* The same for a list with static storage, before main: struct list l = LIST_INITIALIZER(l); */
#define LIST_INITIALIZER(list)                                                                     \
    {                                                                                              \
        { &(list).ends, &(list).ends }                                                             \
    }

static inline bool list_is_empty(const struct list *list) {
    return list->ends.next == &list->ends;
}

/* Whether the link is in any list. */
static inline bool list_is_linked(const struct list_link *link) {
    return link->next != NULL;
}

/* NULL if there are no members. */
static inline struct list_link *list_first(const struct list *list) {
    return list_is_empty(list) ? NULL : list->ends.next;
}
static inline struct list_link *list_last(const struct list *list) {
    return list_is_empty(list) ? NULL : list->ends.prev;
}

/* The member after this one; NULL if it is the last. */
static inline struct list_link *list_next(const struct list *list, const struct list_link *link) {
    return link->next == &list->ends ? NULL : link->next;
}

/* Inserts `link` before a member. As for the two below, `link` must be in no list. */
static inline void list_insert_before(struct list_link *member, struct list_link *link) {
    link->next = member;
    link->prev = member->prev;
    member->prev->next = link;
    member->prev = link;
}
static inline void list_append(struct list *list, struct list_link *link) {
    list_insert_before(&list->ends, link);
}
static inline void list_prepend(struct list *list, struct list_link *link) {
    list_insert_before(list->ends.next, link);
}

/* Removes the link from its list. Does nothing if it is in no list. */
static inline void list_remove(struct list_link *link) {
    if (!list_is_linked(link))
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->prev = link->next = NULL;
}

/* Loops over all members from first to last, with `link` as the struct list_link * of the current
 * one. The body may remove and free that member, but not the one after it. A member added after the
 * current one may be skipped. */
#define list_for_each(link, list)                                                                  \
    for (struct list_link *link = (list)->ends.next, *link##_next = link->next;                    \
         link != &(list)->ends; link = link##_next, link##_next = link->next)

#endif
