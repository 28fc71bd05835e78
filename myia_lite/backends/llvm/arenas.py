"""Records of forward passes that leave a program, to be the argument of others: how they live on.

The objects that the record holds leave the call together, in an *arena*: the chunks that small ones were cut from, and
the list of the large ones.  They are frozen, with a reference count so large that it is never 1: nobody writes to them
in place and nobody frees them, so that any number of calls may read them at the same time (their counts may lose
updates, which nobody notices).  They are freed with the arena.

An arena: 0: the first of its large objects    8: its chunks    16: the number of small objects    24: that of the
    records that are alive    32: the parts of the records
"""

from __future__ import annotations

from ...ir import Residual, Type

ARENA_LIVE, ARENA_CHUNKS, ARENA_COUNT, ARENA_RECORDS, ARENA_DATA = 0, 8, 16, 24, 32
FROZEN = 1 << 62


def escapes(t: Type) -> bool:
    return isinstance(t, Residual)


def text(small: int, count: int, chunks: int) -> str:
    """The part of the run-time system, from the size of small objects and places in a call's context."""
    return f"""
; an arena for what leaves a call with so many records, or null
define ptr @rt_arena(ptr %ctx, i64 %records, i64 %size) {{
entry:
  %total = add i64 %size, {ARENA_DATA}
  %new = call ptr @malloc(i64 %total)
  %null = icmp eq ptr %new, null
  br i1 %null, label %no, label %clear
clear:
  %live = getelementptr i8, ptr %new, i64 {ARENA_LIVE}
  store ptr null, ptr %live
  %chunks = getelementptr i8, ptr %new, i64 {ARENA_CHUNKS}
  store ptr null, ptr %chunks
  %count = getelementptr i8, ptr %new, i64 {ARENA_COUNT}
  store i64 0, ptr %count
  %alive = getelementptr i8, ptr %new, i64 {ARENA_RECORDS}
  store i64 %records, ptr %alive
  ret ptr %new
no:
  %e = call ptr @out_of_memory(ptr %ctx)
  ret ptr null
}}

; an object whose count is 1, and what only it holds, goes to the arena for good
define void @rt_freeze(ptr %arena, ptr %obj) {{
entry:
  %worklist = alloca ptr
  store ptr null, ptr %obj
  store ptr %obj, ptr %worklist
  br label %loop
loop:
  %q = load ptr, ptr %worklist
  %end = icmp eq ptr %q, null
  br i1 %end, label %done, label %one
one:
  %rest = load ptr, ptr %q
  store ptr %rest, ptr %worklist
  store i64 {FROZEN}, ptr %q
  %cp = getelementptr i8, ptr %q, i64 16
  %children = load ptr, ptr %cp
  %leaf = icmp eq ptr %children, null
  br i1 %leaf, label %keep, label %inner
inner:
  call void %children(ptr %q, ptr %worklist)
  br label %keep
keep:
  %bp = getelementptr i8, ptr %q, i64 8
  %bytes = load i64, ptr %bp
  %large = icmp ugt i64 %bytes, {small}
  br i1 %large, label %move, label %small
move:
  call void @unlink(ptr %q)
  %live = getelementptr i8, ptr %arena, i64 {ARENA_LIVE}
  call void @link(ptr %live, ptr %q)
  br label %loop
small:
  %np = getelementptr i8, ptr %arena, i64 {ARENA_COUNT}
  %n = load i64, ptr %np
  %n1 = add i64 %n, 1
  store i64 %n1, ptr %np
  br label %loop
done:
  ret void
}}

; all that was frozen is the call's no more
define void @rt_leave(ptr %ctx, ptr %arena) {{
  %kp = getelementptr i8, ptr %ctx, i64 {chunks}
  %k = load ptr, ptr %kp
  store ptr null, ptr %kp
  %ap = getelementptr i8, ptr %arena, i64 {ARENA_CHUNKS}
  store ptr %k, ptr %ap
  %np = getelementptr i8, ptr %arena, i64 {ARENA_COUNT}
  %n = load i64, ptr %np
  %cp = getelementptr i8, ptr %ctx, i64 {count}
  %c = load i64, ptr %cp
  %left = sub i64 %c, %n
  store i64 %left, ptr %cp
  ret void
}}

; a record is dropped, by any thread; with the last one goes the arena
define void @rt_arena_drop(ptr %arena) {{
entry:
  %rp = getelementptr i8, ptr %arena, i64 {ARENA_RECORDS}
  %before = atomicrmw sub ptr %rp, i64 1 acq_rel
  %last = icmp eq i64 %before, 1
  br i1 %last, label %dispose, label %return
return:
  ret void
dispose:
  %kp = getelementptr i8, ptr %arena, i64 {ARENA_CHUNKS}
  %k0 = load ptr, ptr %kp
  br label %chunks
chunks:
  %k = phi ptr [%k0, %dispose], [%knext, %chunk]
  %kz = icmp eq ptr %k, null
  br i1 %kz, label %objects, label %chunk
chunk:
  %knext = load ptr, ptr %k
  call void @rt_dispose(ptr %k)
  br label %chunks
objects:
  %lp = getelementptr i8, ptr %arena, i64 {ARENA_LIVE}
  %first = load ptr, ptr %lp
  br label %loop
loop:
  %q = phi ptr [%first, %objects], [%next, %one]
  %end = icmp eq ptr %q, null
  br i1 %end, label %done, label %one
one:
  %np = getelementptr i8, ptr %q, i64 24
  %next = load ptr, ptr %np
  call void @rt_dispose(ptr %q)
  br label %loop
done:
  call void @free(ptr %arena)
  ret void
}}
"""
