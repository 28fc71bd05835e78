"""Large buffers that outlive calls, shared by all threads.

The pool is guarded by a try-lock: where it is taken, malloc and free do the work, so that no thread, and no forked
child, ever waits.

A part of the run-time system (`runtime.py`).
"""

from __future__ import annotations

POOL_SLOTS, POOL_BYTES = 128, 512 << 20

TEXT = f"""
%Slot = type {{ i64, ptr }}
@pool = internal global [{POOL_SLOTS} x %Slot] zeroinitializer, align 64
@pooled = internal global i64 0
@cursor = internal global i64 0
@lock = internal global i32 0, align 64

; a pooled buffer of between `least` and `most` bytes, or null
define internal ptr @pool_take(i64 %least, i64 %most) {{
entry:
  %any = load i64, ptr @pooled
  %none = icmp eq i64 %any, 0
  br i1 %none, label %no, label %try
try:
  %held = atomicrmw xchg ptr @lock, i32 1 acquire
  %free = icmp eq i32 %held, 0
  br i1 %free, label %scan, label %no
scan:
  %i = phi i64 [0, %try], [%i1, %next]
  %at = getelementptr %Slot, ptr @pool, i64 %i
  %size = load i64, ptr %at
  %enough = icmp uge i64 %size, %least
  %fits = icmp ule i64 %size, %most
  %ok = and i1 %enough, %fits
  br i1 %ok, label %found, label %next
next:
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, {POOL_SLOTS}
  br i1 %more, label %scan, label %unlock
found:
  %pp = getelementptr i8, ptr %at, i64 8
  %p = load ptr, ptr %pp
  store i64 0, ptr %at
  store ptr null, ptr %pp
  %rest = sub i64 %any, %size
  %now = load i64, ptr @pooled
  %left = sub i64 %now, %size
  store i64 %left, ptr @pooled
  %b = getelementptr i8, ptr %p, i64 8
  store i64 %size, ptr %b
  br label %unlock
unlock:
  %r = phi ptr [%p, %found], [null, %next]
  store atomic i32 0, ptr @lock release, align 4
  ret ptr %r
no:
  ret ptr null
}}

; keep a large buffer for later calls; the one it displaces, or it itself, is freed
define internal void @pool_put(ptr %p, i64 %size) {{
entry:
  %huge = icmp ugt i64 %size, {POOL_BYTES}
  br i1 %huge, label %no, label %try
try:
  %held = atomicrmw xchg ptr @lock, i32 1 acquire
  %free = icmp eq i32 %held, 0
  br i1 %free, label %scan, label %no
scan:
  %i = phi i64 [0, %try], [%i1, %next]
  %at = getelementptr %Slot, ptr @pool, i64 %i
  %s = load i64, ptr %at
  %empty = icmp eq i64 %s, 0
  br i1 %empty, label %place, label %next
next:
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, {POOL_SLOTS}
  br i1 %more, label %scan, label %evict
evict:
  %c = load i64, ptr @cursor
  br label %place
place:
  %k = phi i64 [%i, %scan], [%c, %evict]
  %c1 = add i64 %k, 1
  %c2 = urem i64 %c1, {POOL_SLOTS}
  store i64 %c2, ptr @cursor
  %slot = getelementptr %Slot, ptr @pool, i64 %k
  %old = load i64, ptr %slot
  %pp = getelementptr i8, ptr %slot, i64 8
  %oldp = load ptr, ptr %pp
  %total = load i64, ptr @pooled
  %t1 = sub i64 %total, %old
  %t2 = add i64 %t1, %size
  %over = icmp ugt i64 %t2, {POOL_BYTES}
  br i1 %over, label %full, label %keep
keep:
  store i64 %size, ptr %slot
  store ptr %p, ptr %pp
  store i64 %t2, ptr @pooled
  store atomic i32 0, ptr @lock release, align 4
  call void @free(ptr %oldp)
  ret void
full:
  ; also give up a buffer, so that sizes no longer in use do not stay for ever
  %v = getelementptr %Slot, ptr @pool, i64 %c2
  %vs = load i64, ptr %v
  %vpp = getelementptr i8, ptr %v, i64 8
  %vp = load ptr, ptr %vpp
  store i64 0, ptr %v
  store ptr null, ptr %vpp
  %t3 = sub i64 %total, %vs
  store i64 %t3, ptr @pooled
  store atomic i32 0, ptr @lock release, align 4
  call void @free(ptr %vp)
  br label %no
no:
  call void @free(ptr %p)
  ret void
}}
"""
