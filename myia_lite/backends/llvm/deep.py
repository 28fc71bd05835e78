"""Recursive programs: first on the caller's stack, and again on a deep one of their own if that turns out too small.

A part of the run-time system (`runtime.py`).
"""

from __future__ import annotations

from . import signals
from .memory_layout import RECURSION_ERROR

SHALLOW = 64 << 10  # how much of the caller's stack a recursive program may use: threads may have small ones
DEEP = 256 << 20  # and how much it gets of its own: a million frames, and an endless recursion ends in a second

TEXT = f"""
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
