"""Stacks that grow: pushes that find no room, and room made ahead for all trips of a loop.

A part of the run-time system (`runtime.py`).
"""

from __future__ import annotations

from .memory_layout import CONTEXT_LIVE, SMALL

TEXT = f"""
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
"""
