"""The run-time system, in LLVM IR: counted heap objects, a pool of large buffers, deep stacks.

A call's *context* is a struct on the stack of its entry function:
    0: the id of the error that was raised, or 0      8..40: the values in its message
    40: the first of the live large objects of this call    48: how far down the stack may grow (null: anywhere)
    56: how many small objects are alive    64, 72: the rest of the newest chunk    80: the chunks    88: its size
    96: the free small objects, a list for each size    552: the slots of the results
    560: the clock's number when the call last looked for signals (see `signals.py`)
A heap object has a header:
    0: reference count        8: bytes allocated
    16: `children(obj, &worklist)`, which drops what the object holds, or null
    24, 32: the next live object of the call, and the pointer that points here
    40, 48: length and capacity of a stack

Small objects are cut from the call's chunks and go back to the list of their size; the chunks are freed at the end of
the call, and what of them is a result is copied out.  Large objects are linked, so that an error can return at once and
the entry function frees what is left.
Objects never cross threads within a call: counts are not atomic.  The pool is shared by threads and guarded by a
try-lock: where it is taken, malloc and free do the work, so that no thread, and no forked child, ever waits.
"""

from __future__ import annotations

import ctypes
import functools

from . import arenas, cores, loader, merge_sort, references, signals

MEMORY_ERROR, RECURSION_ERROR, FIRST_ERROR = 1, 2, 16
OUTSIDE = 1 << 32  # is added to the id of what Python functions raise, which the context holds
CONTEXT_VALUES, CONTEXT_LIVE, CONTEXT_LIMIT, CONTEXT_COUNT, CONTEXT_REST, CONTEXT_END = 8, 40, 48, 56, 64, 72
CONTEXT_CHUNKS, CONTEXT_CHUNK, CONTEXT_FREE = 80, 88, 96
SMALL = 7 << 14  # objects of more bytes go through the pool
CLASSES = 57  # sizes of small objects: multiples of 64 up to 2048, then four in each power of two
CONTEXT_RESULTS = CONTEXT_FREE + 8 * CLASSES
CONTEXT_TICK = CONTEXT_RESULTS + 8
CONTEXT_SIZE = CONTEXT_TICK + 8
FIRST_CHUNK, LAST_CHUNK = 4096, 16 << 20  # bytes: of the chunk on the stack, and where they stop to double
SHALLOW = 64 << 10  # how much of the caller's stack a recursive program may use: threads may have small ones
DEEP = 256 << 20  # and how much it gets of its own: a million frames, and an endless recursion ends in a second
POOL_SLOTS, POOL_BYTES = 128, 512 << 20

TEXT = f"""
%Slot = type {{ i64, ptr }}
@pool = internal global [{POOL_SLOTS} x %Slot] zeroinitializer, align 64
@pooled = internal global i64 0
@cursor = internal global i64 0
@lock = internal global i32 0, align 64

declare noalias ptr @malloc(i64)
declare noalias ptr @aligned_alloc(i64, i64)
declare noalias ptr @realloc(ptr, i64)
declare void @free(ptr)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare ptr @llvm.frameaddress.p0(i32)
declare i64 @llvm.ctlz.i64(i64, i1)
declare i64 @llvm.umax.i64(i64, i64)
declare i64 @llvm.umin.i64(i64, i64)
declare ptr @llvm.stacksave.p0()
declare i32 @pthread_attr_init(ptr)
declare i32 @pthread_attr_destroy(ptr)
declare i32 @pthread_attr_setstacksize(ptr, i64)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_join(i64, ptr)
declare ptr @PyCapsule_GetPointer(ptr, ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
@PyCFunction_Type = external global i8

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

define internal ptr @out_of_memory(ptr %ctx) cold noinline {{
  store i64 {MEMORY_ERROR}, ptr %ctx
  ret ptr null
}}

define internal void @link(ptr %head, ptr %obj) alwaysinline {{
  %first = load ptr, ptr %head
  %next = getelementptr i8, ptr %obj, i64 24
  %back = getelementptr i8, ptr %obj, i64 32
  store ptr %first, ptr %next
  store ptr %head, ptr %back
  store ptr %obj, ptr %head
  %z = icmp eq ptr %first, null
  br i1 %z, label %done, label %some
some:
  %fb = getelementptr i8, ptr %first, i64 32
  store ptr %next, ptr %fb
  br label %done
done:
  ret void
}}

define internal void @unlink(ptr %obj) alwaysinline {{
  %np = getelementptr i8, ptr %obj, i64 24
  %bp = getelementptr i8, ptr %obj, i64 32
  %next = load ptr, ptr %np
  %back = load ptr, ptr %bp
  %z = icmp eq ptr %back, null
  br i1 %z, label %done, label %linked
linked:
  store ptr %next, ptr %back
  %nz = icmp eq ptr %next, null
  br i1 %nz, label %done, label %some
some:
  %nb = getelementptr i8, ptr %next, i64 32
  store ptr %back, ptr %nb
  br label %done
done:
  ret void
}}

define void @rt_dispose(ptr %obj) {{
  %bp = getelementptr i8, ptr %obj, i64 8
  %bytes = load i64, ptr %bp
  %large = icmp ugt i64 %bytes, {SMALL}
  br i1 %large, label %pool, label %small
pool:
  call void @pool_put(ptr %obj, i64 %bytes)
  ret void
small:
  call void @free(ptr %obj)
  ret void
}}

define void @rt_capsule_dispose(ptr %capsule) {{
  %obj = call ptr @PyCapsule_GetPointer(ptr %capsule, ptr null)
  call void @rt_dispose(ptr %obj)
  ret void
}}

; the list of small objects of the size that `total` is rounded up to, and that size
define internal {{ ptr, i64 }} @class(ptr %ctx, i64 %total) alwaysinline {{
entry:
  %fine = icmp ule i64 %total, 2048
  br i1 %fine, label %lines, label %quarters
lines:
  %up = add i64 %total, 63
  %size1 = and i64 %up, -64
  %k1 = lshr i64 %size1, 6
  br label %found
quarters:
  %less = sub i64 %total, 1
  %z = call i64 @llvm.ctlz.i64(i64 %less, i1 true)
  %shift = sub i64 61, %z
  %q0 = lshr i64 %less, %shift
  %q = add i64 %q0, 1
  %size2 = shl i64 %q, %shift
  %octave = sub i64 %shift, 9
  %first = shl i64 %octave, 2
  %k0 = add i64 %first, %q
  %k2 = add i64 %k0, 28
  br label %found
found:
  %size = phi i64 [%size1, %lines], [%size2, %quarters]
  %k = phi i64 [%k1, %lines], [%k2, %quarters]
  %lists = getelementptr i8, ptr %ctx, i64 {CONTEXT_FREE}
  %list = getelementptr ptr, ptr %lists, i64 %k
  %r0 = insertvalue {{ ptr, i64 }} undef, ptr %list, 0
  %r = insertvalue {{ ptr, i64 }} %r0, i64 %size, 1
  ret {{ ptr, i64 }} %r
}}

; memory for a small object where its list is empty, or null
define internal ptr @cut(ptr %ctx, i64 %size) noinline {{
entry:
  %rp = getelementptr i8, ptr %ctx, i64 {CONTEXT_REST}
  %ep = getelementptr i8, ptr %ctx, i64 {CONTEXT_END}
  %rest = load ptr, ptr %rp
  %end = load ptr, ptr %ep
  %e = ptrtoint ptr %end to i64
  %f = ptrtoint ptr %rest to i64
  %room = sub i64 %e, %f
  %fits = icmp uge i64 %room, %size
  br i1 %fits, label %take, label %chunk
take:
  %from = phi ptr [%rest, %entry], [%data, %add]
  %after = getelementptr i8, ptr %from, i64 %size
  store ptr %after, ptr %rp
  ret ptr %from
chunk:
  %sp = getelementptr i8, ptr %ctx, i64 {CONTEXT_CHUNK}
  %last = load i64, ptr %sp
  %twice = shl i64 %last, 1
  %bounded = call i64 @llvm.umin.i64(i64 %twice, i64 {LAST_CHUNK})
  %four = shl i64 %size, 2
  %want = call i64 @llvm.umax.i64(i64 %bounded, i64 %four)
  store i64 %want, ptr %sp
  %large = icmp ugt i64 %want, {SMALL}
  br i1 %large, label %pool, label %malloc
pool:
  %most = shl i64 %want, 1
  %old = call ptr @pool_take(i64 %want, i64 %most)
  %got = icmp ne ptr %old, null
  br i1 %got, label %add, label %malloc
malloc:
  %new = call ptr @aligned_alloc(i64 64, i64 %want)
  %null = icmp eq ptr %new, null
  br i1 %null, label %no, label %note
note:
  %bp = getelementptr i8, ptr %new, i64 8
  store i64 %want, ptr %bp
  br label %add
add:
  %c = phi ptr [%old, %pool], [%new, %note]
  %cb = getelementptr i8, ptr %c, i64 8
  %bytes = load i64, ptr %cb
  %kp = getelementptr i8, ptr %ctx, i64 {CONTEXT_CHUNKS}
  %others = load ptr, ptr %kp
  store ptr %others, ptr %c
  store ptr %c, ptr %kp
  %data = getelementptr i8, ptr %c, i64 64
  %cend = getelementptr i8, ptr %c, i64 %bytes
  store ptr %cend, ptr %ep
  br label %take
no:
  ret ptr null
}}

define internal void @count(ptr %ctx, i64 %more) alwaysinline {{
  %p = getelementptr i8, ptr %ctx, i64 {CONTEXT_COUNT}
  %n = load i64, ptr %p
  %m = add i64 %n, %more
  store i64 %m, ptr %p
  ret void
}}

; the memory of a small object goes back to its list
define internal void @give_back(ptr %ctx, ptr %obj, i64 %bytes) alwaysinline {{
  %c = call {{ ptr, i64 }} @class(ptr %ctx, i64 %bytes)
  %list = extractvalue {{ ptr, i64 }} %c, 0
  %next = load ptr, ptr %list
  store ptr %next, ptr %obj
  store ptr %obj, ptr %list
  call void @count(ptr %ctx, i64 -1)
  ret void
}}

define noalias ptr @rt_alloc(ptr %ctx, i64 %size, i64 %header, ptr %children) {{
entry:
  %absurd = icmp ugt i64 %size, {1 << 47}
  br i1 %absurd, label %no, label %sane
sane:
  %total = add i64 %size, %header
  %large = icmp ugt i64 %total, {SMALL}
  br i1 %large, label %pool, label %small
small:
  %class = call {{ ptr, i64 }} @class(ptr %ctx, i64 %total)
  %list = extractvalue {{ ptr, i64 }} %class, 0
  %rounded = extractvalue {{ ptr, i64 }} %class, 1
  %free = load ptr, ptr %list
  %none = icmp eq ptr %free, null
  br i1 %none, label %cut, label %reuse
reuse:
  %rest = load ptr, ptr %free
  store ptr %rest, ptr %list
  br label %counted
cut:
  %piece = call ptr @cut(ptr %ctx, i64 %rounded)
  %nothing = icmp eq ptr %piece, null
  br i1 %nothing, label %no, label %sized
sized:
  %sp = getelementptr i8, ptr %piece, i64 8
  store i64 %rounded, ptr %sp
  br label %counted
counted:
  %s = phi ptr [%free, %reuse], [%piece, %sized]
  store i64 1, ptr %s
  %scp = getelementptr i8, ptr %s, i64 16
  store ptr %children, ptr %scp
  call void @count(ptr %ctx, i64 1)
  ret ptr %s
pool:
  %most = shl i64 %total, 1
  %old = call ptr @pool_take(i64 %total, i64 %most)
  %got = icmp ne ptr %old, null
  br i1 %got, label %have, label %aligned
aligned:
  %up = add i64 %total, 63
  %bytes = and i64 %up, -64
  %new = call ptr @aligned_alloc(i64 64, i64 %bytes)
  %null = icmp eq ptr %new, null
  br i1 %null, label %no, label %note
note:
  %bp = getelementptr i8, ptr %new, i64 8
  store i64 %bytes, ptr %bp
  br label %have
have:
  %obj = phi ptr [%new, %note], [%old, %pool]
  store i64 1, ptr %obj
  %cp = getelementptr i8, ptr %obj, i64 16
  store ptr %children, ptr %cp
  %alive = getelementptr i8, ptr %ctx, i64 {CONTEXT_LIVE}
  call void @link(ptr %alive, ptr %obj)
  ret ptr %obj
no:
  %e = call ptr @out_of_memory(ptr %ctx)
  ret ptr %e
}}

; drop an object whose count is 1, and what only it holds, however long the chain
define void @rt_free(ptr %ctx, ptr %obj) {{
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
  %cp = getelementptr i8, ptr %q, i64 16
  %children = load ptr, ptr %cp
  %leaf = icmp eq ptr %children, null
  br i1 %leaf, label %drop, label %inner
inner:
  call void %children(ptr %q, ptr %worklist)
  br label %drop
drop:
  %bp = getelementptr i8, ptr %q, i64 8
  %bytes = load i64, ptr %bp
  %large = icmp ugt i64 %bytes, {SMALL}
  br i1 %large, label %unlink, label %small
unlink:
  call void @unlink(ptr %q)
  call void @pool_put(ptr %q, i64 %bytes)
  br label %loop
small:
  call void @give_back(ptr %ctx, ptr %q, i64 %bytes)
  br label %loop
done:
  ret void
}}

; the memory of a record whose fields have been taken over
define void @rt_shell(ptr %ctx, ptr %obj) {{
  %bp = getelementptr i8, ptr %obj, i64 8
  %bytes = load i64, ptr %bp
  call void @give_back(ptr %ctx, ptr %obj, i64 %bytes)
  ret void
}}

; give up one reference to an object known not to be null
define internal void @drop(ptr %ctx, ptr %obj) {{
  %rc = load i64, ptr %obj
  %last = icmp eq i64 %rc, 1
  br i1 %last, label %free, label %dec
free:
  call void @rt_free(ptr %ctx, ptr %obj)
  ret void
dec:
  %r = sub i64 %rc, 1
  store i64 %r, ptr %obj
  ret void
}}

; a copy of an array's `bytes` bytes at `data` that nobody else holds, for the reference to `obj`
define noalias ptr @rt_unique(ptr %ctx, ptr %obj, ptr %data, i64 %bytes) {{
  %new = call ptr @rt_alloc(ptr %ctx, i64 %bytes, i64 64, ptr null)
  %null = icmp eq ptr %new, null
  br i1 %null, label %no, label %copy
no:
  ret ptr null
copy:
  %to = getelementptr i8, ptr %new, i64 64
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %data, i64 %bytes, i1 false)
  %foreign = icmp eq ptr %obj, null
  br i1 %foreign, label %done, label %give
give:
  call void @drop(ptr %ctx, ptr %obj)
  br label %done
done:
  ret ptr %new
}}

; a buffer with the first `len` frames of `obj` (null: none) that nobody else holds and that has room for one
; more, for the
; reference to `obj`; `retain(obj)` counts the references in the frames of a copy, null where frames hold none
define ptr @rt_push_slow(ptr %ctx, ptr %obj, i64 %len, i64 %size, ptr %children, ptr %retain) {{
entry:
  %empty = icmp eq ptr %obj, null
  br i1 %empty, label %fresh, label %held
held:
  %rc = load i64, ptr %obj
  %unique = icmp eq i64 %rc, 1
  br i1 %unique, label %grow, label %fresh
fresh:
  %len1 = add i64 %len, 1
  %twice = shl i64 %len1, 1
  %few = icmp ult i64 %twice, 16
  %cap = select i1 %few, i64 16, i64 %twice
  %bytes = mul i64 %cap, %size
  %new = call ptr @rt_alloc(ptr %ctx, i64 %bytes, i64 64, ptr %children)
  %null = icmp eq ptr %new, null
  br i1 %null, label %no, label %copy
copy:
  %lp = getelementptr i8, ptr %new, i64 40
  store i64 %len, ptr %lp
  %kp = getelementptr i8, ptr %new, i64 48
  store i64 %cap, ptr %kp
  br i1 %empty, label %done, label %move
move:
  %to = getelementptr i8, ptr %new, i64 64
  %from = getelementptr i8, ptr %obj, i64 64
  %used = mul i64 %len, %size
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %used, i1 false)
  %plain = icmp eq ptr %retain, null
  br i1 %plain, label %give, label %count
count:
  call void %retain(ptr %new)
  br label %give
give:
  call void @drop(ptr %ctx, ptr %obj)
  br label %done
done:
  ret ptr %new
grow:
  %ckp = getelementptr i8, ptr %obj, i64 48
  %ocap = load i64, ptr %ckp
  %obp = getelementptr i8, ptr %obj, i64 8
  %obytes = load i64, ptr %obp
  %ncap = shl i64 %ocap, 1
  %npay = mul i64 %ncap, %size
  %nbytes = add i64 %npay, 64
  %absurd = icmp ugt i64 %nbytes, {1 << 47}
  br i1 %absurd, label %oom, label %g1
g1:
  %was = icmp ule i64 %obytes, {SMALL}
  br i1 %was, label %away, label %realloc
away:
  %is = icmp ugt i64 %nbytes, {SMALL}
  br i1 %is, label %pool, label %larger
pool:
  ; the first growth into a large buffer: one of an earlier call is likely to have the final size
  %p = call ptr @pool_take(i64 %nbytes, i64 -1)
  %nop = icmp eq ptr %p, null
  br i1 %nop, label %larger, label %usepool
usepool:
  %pbp = getelementptr i8, ptr %p, i64 8
  %pbytes = load i64, ptr %pbp
  %proom = sub i64 %pbytes, 64
  %pcap = udiv i64 %proom, %size
  call void @llvm.memcpy.p0.p0.i64(ptr %p, ptr %obj, i64 64, i1 false)
  store i64 %pbytes, ptr %pbp
  %alive = getelementptr i8, ptr %ctx, i64 {CONTEXT_LIVE}
  call void @link(ptr %alive, ptr %p)
  br label %fill
larger:
  %lcp = getelementptr i8, ptr %obj, i64 16
  %lchildren = load ptr, ptr %lcp
  %l = call ptr @rt_alloc(ptr %ctx, i64 %npay, i64 64, ptr %lchildren)
  %ln = icmp eq ptr %l, null
  br i1 %ln, label %no, label %fill
fill:
  %m = phi ptr [%p, %usepool], [%l, %larger]
  %mcap = phi i64 [%pcap, %usepool], [%ncap, %larger]
  %mlp = getelementptr i8, ptr %m, i64 40
  %olp = getelementptr i8, ptr %obj, i64 40
  %olen = load i64, ptr %olp
  store i64 %olen, ptr %mlp
  %mkp = getelementptr i8, ptr %m, i64 48
  store i64 %mcap, ptr %mkp
  %mto = getelementptr i8, ptr %m, i64 64
  %mfrom = getelementptr i8, ptr %obj, i64 64
  %mused = mul i64 %len, %size
  call void @llvm.memcpy.p0.p0.i64(ptr %mto, ptr %mfrom, i64 %mused, i1 false)
  call void @give_back(ptr %ctx, ptr %obj, i64 %obytes)
  ret ptr %m
realloc:
  %r = call ptr @realloc(ptr %obj, i64 %nbytes)
  %rn = icmp eq ptr %r, null
  br i1 %rn, label %oom, label %realloced
realloced:
  %rbp = getelementptr i8, ptr %r, i64 8
  store i64 %nbytes, ptr %rbp
  %gkp = getelementptr i8, ptr %r, i64 48
  store i64 %ncap, ptr %gkp
  %gnp = getelementptr i8, ptr %r, i64 24
  %gbp = getelementptr i8, ptr %r, i64 32
  %back = load ptr, ptr %gbp
  store ptr %r, ptr %back
  %next = load ptr, ptr %gnp
  %last = icmp eq ptr %next, null
  br i1 %last, label %grown, label %fix
fix:
  %nb = getelementptr i8, ptr %next, i64 32
  store ptr %gnp, ptr %nb
  br label %grown
grown:
  ret ptr %r
oom:
  %e = call ptr @out_of_memory(ptr %ctx)
  ret ptr null
no:
  ret ptr null
}}

; an empty buffer with room for `trips` frames
define noalias ptr @rt_reserve(ptr %ctx, i64 %trips, i64 %size, ptr %children) {{
entry:
  %bytes = mul i64 %trips, %size
  %new = call ptr @rt_alloc(ptr %ctx, i64 %bytes, i64 64, ptr %children)
  %null = icmp eq ptr %new, null
  br i1 %null, label %done, label %note
note:
  %lp = getelementptr i8, ptr %new, i64 40
  store i64 0, ptr %lp
  %kp = getelementptr i8, ptr %new, i64 48
  store i64 %trips, ptr %kp
  br label %done
done:
  ret ptr %new
}}

; an object leaves the call: it is freed by whoever gets it, with rt_dispose; null where there is no memory
define ptr @rt_detach(ptr %ctx, ptr %obj) {{
entry:
  %bytesp = getelementptr i8, ptr %obj, i64 8
  %bytes = load i64, ptr %bytesp
  %large = icmp ugt i64 %bytes, {SMALL}
  br i1 %large, label %itself, label %copy
itself:
  call void @unlink(ptr %obj)
  ret ptr %obj
copy:
  %new = call ptr @malloc(i64 %bytes)
  %null = icmp eq ptr %new, null
  br i1 %null, label %no, label %fill
fill:
  call void @llvm.memcpy.p0.p0.i64(ptr %new, ptr %obj, i64 %bytes, i1 false)
  call void @give_back(ptr %ctx, ptr %obj, i64 %bytes)
  ret ptr %new
no:
  %e = call ptr @out_of_memory(ptr %ctx)
  ret ptr null
}}

; free all objects of the call that are left, and count them: 0 unless an error was raised
define i64 @rt_end(ptr %ctx) {{
entry:
  %head = getelementptr i8, ptr %ctx, i64 {CONTEXT_LIVE}
  %first = load ptr, ptr %head
  %np0 = getelementptr i8, ptr %ctx, i64 {CONTEXT_COUNT}
  %n0 = load i64, ptr %np0
  %kp = getelementptr i8, ptr %ctx, i64 {CONTEXT_CHUNKS}
  %k0 = load ptr, ptr %kp
  br label %chunks
chunks:
  %k = phi ptr [%k0, %entry], [%knext, %chunk]
  %kz = icmp eq ptr %k, null
  br i1 %kz, label %loop, label %chunk
chunk:
  %knext = load ptr, ptr %k
  call void @rt_dispose(ptr %k)
  br label %chunks
loop:
  %q = phi ptr [%first, %chunks], [%next, %one]
  %n = phi i64 [%n0, %chunks], [%n1, %one]
  %end = icmp eq ptr %q, null
  br i1 %end, label %done, label %one
one:
  %np = getelementptr i8, ptr %q, i64 24
  %next = load ptr, ptr %np
  call void @rt_dispose(ptr %q)
  %n1 = add i64 %n, 1
  br label %loop
done:
  ret i64 %n
}}

{chr(10).join(f"declare void @{f}(ptr)" for f in references.IMPORTS if f not in ("Py_IncRef", "Py_DecRef"))}
{references.text()}
; a call of an object with an entry in its slot: of machine code, at once; the reference keeps that code alive meanwhile
define ptr @rt_vectorcall(ptr %callable, ptr %args, i64 %nargsf, ptr %kw) {{
entry:
  %at = getelementptr i8, ptr %callable, i64 24
  %entry.1 = load ptr, ptr %at
  call void @inc(ptr %entry.1)
  %tp = getelementptr i8, ptr %entry.1, i64 8
  %type = load ptr, ptr %tp
  %builtin = icmp eq ptr %type, @PyCFunction_Type
  br i1 %builtin, label %direct, label %any
direct:
  %defp = getelementptr i8, ptr %entry.1, i64 16
  %def = load ptr, ptr %defp
  %selfp = getelementptr i8, ptr %entry.1, i64 24
  %self = load ptr, ptr %selfp
  %methp = getelementptr i8, ptr %def, i64 8
  %meth = load ptr, ptr %methp
  %nargs = and i64 %nargsf, {(1 << 63) - 1}
  %one = call ptr %meth(ptr %self, ptr %args, i64 %nargs, ptr %kw)
  br label %done
any:
  %two = call ptr @PyObject_Vectorcall(ptr %entry.1, ptr %args, i64 %nargsf, ptr %kw)
  br label %done
done:
  %out = phi ptr [%one, %direct], [%two, %any]
  call void @dec(ptr %entry.1)
  ret ptr %out
}}

; run body(args, results, limit) on a thread with as large a stack as there is
define internal ptr @deep_main(ptr %job) {{
  %sp = call ptr @llvm.frameaddress.p0(i32 0)
  %s = ptrtoint ptr %sp to i64
  %sizep = getelementptr i64, ptr %job, i64 3
  %size = load i64, ptr %sizep
  %room = sub i64 %size, 524288
  %limit = sub i64 %s, %room
  %l = inttoptr i64 %limit to ptr
  %fn = load ptr, ptr %job
  %ap = getelementptr i64, ptr %job, i64 1
  %args = load ptr, ptr %ap
  %rp = getelementptr i64, ptr %job, i64 2
  %res = load ptr, ptr %rp
  call void @deputise(ptr %job)
  %r = call i64 %fn(ptr %args, ptr %res, ptr %l)
  %out = getelementptr i64, ptr %job, i64 4
  store i64 %r, ptr %out
  call void @finished(ptr %job)
  ret ptr null
}}

define internal i64 @deep(ptr %fn, ptr %args, ptr %res) {{
entry:
  %job = alloca [{signals.JOB_SIZE} x i8], align 64
  %attr = alloca [32 x i64], align 16
  %thread = alloca i64
  store ptr %fn, ptr %job
  call void @prepare(ptr %job)
  %ap = getelementptr i64, ptr %job, i64 1
  store ptr %args, ptr %ap
  %rp = getelementptr i64, ptr %job, i64 2
  store ptr %res, ptr %rp
  %sizep = getelementptr i64, ptr %job, i64 3
  %i = call i32 @pthread_attr_init(ptr %attr)
  br label %try
try:
  %size = phi i64 [{DEEP}, %entry], [%less, %failed]
  store i64 %size, ptr %sizep
  %s = call i32 @pthread_attr_setstacksize(ptr %attr, i64 %size)
  %c = call i32 @pthread_create(ptr %thread, ptr %attr, ptr @deep_main, ptr %job)
  %ok = icmp eq i32 %c, 0
  br i1 %ok, label %wait, label %failed
failed:
  %less = lshr i64 %size, 1
  %again = icmp uge i64 %less, {4 << 20}
  br i1 %again, label %try, label %no
wait:
  %t = load i64, ptr %thread
  call void @attend(ptr %job, i64 %t)
  %out = getelementptr i64, ptr %job, i64 4
  %r = load i64, ptr %out
  br label %done
no:
  br label %done
done:
  %result = phi i64 [%r, %wait], [{RECURSION_ERROR}, %no]
  %d = call i32 @pthread_attr_destroy(ptr %attr)
  ret i64 %result
}}

; run body(args, results, limit) of a recursive program.  A shallow recursion needs no stack of its own; one
; that turns out
; deep starts again on one (programs are pure), and later calls at once (`flag`)
define i64 @rt_recursive(ptr %body, ptr %flag, ptr %args, ptr %res) {{
  %known = load atomic i32, ptr %flag monotonic, align 4
  %shallow = icmp eq i32 %known, 0
  br i1 %shallow, label %first, label %again
first:
  %sp = call ptr @llvm.stacksave.p0()
  %limit = getelementptr i8, ptr %sp, i64 -{SHALLOW}
  %error = call i64 %body(ptr %args, ptr %res, ptr %limit)
  %over = icmp eq i64 %error, {RECURSION_ERROR}
  br i1 %over, label %note, label %done
note:
  store atomic i32 1, ptr %flag monotonic, align 4
  br label %again
again:
  %r = call i64 @deep(ptr %body, ptr %args, ptr %res)
  ret i64 %r
done:
  ret i64 %error
}}
"""
TEXT += arenas.text(SMALL, CONTEXT_COUNT, CONTEXT_CHUNKS)
EXPORTS = (
    "rt_alloc",
    "rt_free",
    "rt_unique",
    "rt_push_slow",
    "rt_reserve",
    "rt_detach",
    "rt_end",
    "rt_recursive",
    "rt_argsort",
    "rt_dispose",
    "rt_capsule_dispose",
    "rt_vectorcall",
    "rt_shell",
    "rt_arena",
    "rt_freeze",
    "rt_leave",
    "rt_arena_drop",
    "rt_parallel",
    "rt_threads",
    *signals.EXPORTS,
)
PYTHON = ("PyCapsule_GetPointer", "PyObject_Vectorcall", "Py_IncRef", "Py_DecRef", *references.IMPORTS, *signals.PYTHON)
_library = None


def addresses() -> dict[str, int]:
    """The run-time system's functions; compiled on first use, under the compiler's lock."""
    global _library
    with loader.LOCK:
        if _library is None:
            python = {name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in PYTHON}
            python["PyCFunction_Type"] = id(type(len))
            text = TEXT + merge_sort.TEXT + cores.text(loader.triple())
            text += signals.text(CONTEXT_TICK, CONTEXT_VALUES)
            _library = loader.link(loader.compiled(text, 3), python, EXPORTS, "runtime")
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(_library))  # its threads outlive the interpreter
            set_threads(cores.threads())
            signals.watch(_library["rt_main_thread"])
        return {name: _library[name] for name in EXPORTS}


def set_threads(n: int) -> None:
    """How many threads a large loop may use from now on, the caller among them."""
    ctypes.CFUNCTYPE(None, ctypes.c_int64)(_library["rt_threads"])(n)


def dispose(obj: int, by: str = "rt_dispose") -> None:
    _disposer(by)(obj)


@functools.cache
def _disposer(by: str):
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(addresses()[by])
