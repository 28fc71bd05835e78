"""Counted heap objects of a call: how they are made, dropped, written to in place, and leave the call.

Small ones are cut from the call's chunks and go back to the list of their size; the chunks are freed at the end of the
call, and what of them is a result is copied out.  Large ones are linked, so that an error can return at once and the
entry function frees what is left.

A part of the run-time system (`runtime.py`).
"""

from __future__ import annotations

from .memory_layout import (
    CONTEXT_CHUNK,
    CONTEXT_CHUNKS,
    CONTEXT_COUNT,
    CONTEXT_END,
    CONTEXT_FREE,
    CONTEXT_LIVE,
    CONTEXT_REST,
    MEMORY_ERROR,
    SMALL,
)

FIRST_CHUNK, LAST_CHUNK = 4096, 16 << 20  # bytes: of the chunk on the stack, and where they stop to double

TEXT = f"""
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
"""
