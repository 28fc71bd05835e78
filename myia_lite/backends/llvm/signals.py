"""Python's signals in compiled code: Ctrl-C ends a loop or a recursion within about a tenth of a second.

A signal handler of Python's runs in the main thread, with the GIL.  So loops and recursive functions compare a number
in memory, `rt_ticks`, with the one that their call has seen last: two loads, and a branch that is hardly ever taken.
While calls poll, a thread of our own moves that number on every 50 ms; then the call takes the GIL and lets Python run
its handlers.  What they raise is kept in the call's context as that of a callback is, and leaves by the way of errors.
Other threads than the main one just go on; but one with a deep stack, for which the main thread waits, has that look.

The clock stops when nobody has polled for a second, and starts again with the next poll.
"""

from __future__ import annotations

import ctypes
import os
import threading

PERIOD, IDLE = 50_000_000, 20  # nanoseconds; periods without a poll after which the clock stops

ASKED, DONE = 1, 2  # what the main thread is to do for a thread with a deep stack: look; go on


def text(tick: int, values: int) -> str:
    """`tick`, `values`: where the context of a call has the number it has seen last, and the values of an error."""
    return TEXT.replace("TICK", str(tick)).replace("VALUES", str(values))


# A job: function, arguments, results, size of the stack, error; 40: its state; 48: the context that asks, 56: the error
# to note there, 64: whether anything was raised; 128, 256: mutex, condition; 384: does the main thread wait for it?
JOB_STATE, JOB_CONTEXT, JOB_ERROR, JOB_FAILED = 40, 48, 56, 64
JOB_MUTEX, JOB_CONDITION, JOB_MAIN, JOB_SIZE = 128, 256, 384, 392
TEXT = f"""
@rt_ticks = global i64 1, align 64
@polled = internal global i32 0, align 64
@ticking = internal global i32 0
@main = internal global i64 0
@deputy = internal global i64 0
@deputy_job = internal global ptr null

declare i64 @pthread_self()
declare i32 @nanosleep(ptr, ptr)
declare i32 @PyGILState_Ensure()
declare void @PyGILState_Release(i32)
declare i32 @PyErr_CheckSignals()
declare void @PyErr_Fetch(ptr, ptr, ptr)

; the calling thread is Python's main one, and no clock runs in this process
define void @rt_main_thread(i64 %self) {{
  store atomic i64 %self, ptr @main monotonic, align 8
  store atomic i64 0, ptr @deputy monotonic, align 8
  store atomic i32 0, ptr @ticking seq_cst, align 4
  ret void
}}

define internal ptr @clock(ptr %none) {{
entry:
  %time = alloca [2 x i64]
  %np = getelementptr i64, ptr %time, i64 1
  br label %loop
loop:
  %idle = phi i64 [0, %entry], [0, %busy], [%idle1, %quiet]
  store i64 0, ptr %time
  store i64 {PERIOD}, ptr %np
  %s = call i32 @nanosleep(ptr %time, ptr null)
  %p = atomicrmw xchg ptr @polled, i32 0 seq_cst
  %some = icmp ne i32 %p, 0
  br i1 %some, label %busy, label %quiet
busy:
  %b = atomicrmw add ptr @rt_ticks, i64 1 seq_cst
  br label %loop
quiet:
  %idle1 = add i64 %idle, 1
  %q = atomicrmw add ptr @rt_ticks, i64 1 seq_cst
  %more = icmp ult i64 %idle1, {IDLE}
  br i1 %more, label %loop, label %stop
stop:
  store atomic i32 0, ptr @ticking seq_cst, align 4
  ; whoever sees this number finds that there is no clock
  %l = atomicrmw add ptr @rt_ticks, i64 1 seq_cst
  ret ptr null
}}

define i64 @rt_poll(ptr %ctx, i64 %error) cold noinline {{
entry:
  store atomic i32 1, ptr @polled monotonic, align 4
  %now = load atomic i64, ptr @rt_ticks seq_cst, align 8
  %seen = getelementptr i8, ptr %ctx, i64 TICK
  %last = load i64, ptr %seen
  store i64 %now, ptr %seen
  %t = load atomic i32, ptr @ticking seq_cst, align 4
  %ticks = icmp ne i32 %t, 0
  br i1 %ticks, label %running, label %stopped
stopped:
  %x = cmpxchg ptr @ticking, i32 0, i32 1 seq_cst seq_cst
  %mine = extractvalue {{ i32, i1 }} %x, 1
  br i1 %mine, label %start, label %running
start:
  %made = call i32 @silent_thread(ptr @clock)
  %bad = icmp ne i32 %made, 0
  br i1 %bad, label %none, label %running
none:
  store atomic i32 0, ptr @ticking seq_cst, align 4
  br label %running
running:
  %first = icmp eq i64 %last, 0
  br i1 %first, label %fine, label %who
who:
  %self = call i64 @pthread_self()
  %m = load atomic i64, ptr @main monotonic, align 8
  %is_main = icmp eq i64 %self, %m
  br i1 %is_main, label %look, label %other
look:
  %r = call i64 @look(ptr %ctx, i64 %error)
  ret i64 %r
other:
  %d = load atomic i64, ptr @deputy monotonic, align 8
  %is_deputy = icmp eq i64 %self, %d
  br i1 %is_deputy, label %ask, label %fine
ask:
  %job = load ptr, ptr @deputy_job
  %mutex = getelementptr i8, ptr %job, i64 {JOB_MUTEX}
  %condition = getelementptr i8, ptr %job, i64 {JOB_CONDITION}
  %state = getelementptr i8, ptr %job, i64 {JOB_STATE}
  %cp = getelementptr i8, ptr %job, i64 {JOB_CONTEXT}
  %ep = getelementptr i8, ptr %job, i64 {JOB_ERROR}
  %l = call i32 @pthread_mutex_lock(ptr %mutex)
  store ptr %ctx, ptr %cp
  store i64 %error, ptr %ep
  store i64 {ASKED}, ptr %state
  %w = call i32 @pthread_cond_broadcast(ptr %condition)
  br label %wait
wait:
  %v = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  %st = load i64, ptr %state
  %still = icmp eq i64 %st, {ASKED}
  br i1 %still, label %wait, label %answered
answered:
  %u = call i32 @pthread_mutex_unlock(ptr %mutex)
  %fp = getelementptr i8, ptr %job, i64 {JOB_FAILED}
  %f = load i64, ptr %fp
  ret i64 %f
fine:
  ret i64 0
}}

; run the handlers of signals that have come; 1 where one raises, which is noted in the context as that error
define internal i64 @look(ptr %ctx, i64 %error) {{
entry:
  %state = call i32 @PyGILState_Ensure()
  %r = call i32 @PyErr_CheckSignals()
  %good = icmp eq i32 %r, 0
  br i1 %good, label %fine, label %raised
fine:
  call void @PyGILState_Release(i32 %state)
  ret i64 0
raised:
  %type = getelementptr i8, ptr %ctx, i64 VALUES
  %value = getelementptr i8, ptr %type, i64 8
  %traceback = getelementptr i8, ptr %type, i64 16
  call void @PyErr_Fetch(ptr %type, ptr %value, ptr %traceback)
  store i64 %error, ptr %ctx
  call void @PyGILState_Release(i32 %state)
  ret i64 1
}}

; on a thread with a deep stack: the main thread is at its service
define internal void @deputise(ptr %job) {{
entry:
  %mp = getelementptr i8, ptr %job, i64 {JOB_MAIN}
  %m = load i64, ptr %mp
  %for_main = icmp ne i64 %m, 0
  br i1 %for_main, label %yes, label %no
yes:
  %self = call i64 @pthread_self()
  store ptr %job, ptr @deputy_job
  store atomic i64 %self, ptr @deputy monotonic, align 8
  ret void
no:
  ret void
}}

; a thread with a deep stack is done; its number may be given to another
define internal void @finished(ptr %job) {{
entry:
  %mp = getelementptr i8, ptr %job, i64 {JOB_MAIN}
  %m = load i64, ptr %mp
  %for_main = icmp ne i64 %m, 0
  br i1 %for_main, label %yes, label %tell
yes:
  store atomic i64 0, ptr @deputy monotonic, align 8
  br label %tell
tell:
  %mutex = getelementptr i8, ptr %job, i64 {JOB_MUTEX}
  %condition = getelementptr i8, ptr %job, i64 {JOB_CONDITION}
  %state = getelementptr i8, ptr %job, i64 {JOB_STATE}
  %l = call i32 @pthread_mutex_lock(ptr %mutex)
  store i64 {DONE}, ptr %state
  %w = call i32 @pthread_cond_broadcast(ptr %condition)
  %u = call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}}

; a job that nothing has been asked of yet
define internal void @prepare(ptr %job) {{
  %mutex = getelementptr i8, ptr %job, i64 {JOB_MUTEX}
  %condition = getelementptr i8, ptr %job, i64 {JOB_CONDITION}
  %state = getelementptr i8, ptr %job, i64 {JOB_STATE}
  %mp = getelementptr i8, ptr %job, i64 {JOB_MAIN}
  store i64 0, ptr %state
  %m = call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  %c = call i32 @pthread_cond_init(ptr %condition, ptr null)
  %self = call i64 @pthread_self()
  %main = load atomic i64, ptr @main monotonic, align 8
  %is_main = icmp eq i64 %self, %main
  %flag = zext i1 %is_main to i64
  store i64 %flag, ptr %mp
  ret void
}}

; wait until a job is done, and look for signals whenever it asks
define internal void @attend(ptr %job, i64 %thread) {{
entry:
  %mutex = getelementptr i8, ptr %job, i64 {JOB_MUTEX}
  %condition = getelementptr i8, ptr %job, i64 {JOB_CONDITION}
  %state = getelementptr i8, ptr %job, i64 {JOB_STATE}
  %cp = getelementptr i8, ptr %job, i64 {JOB_CONTEXT}
  %ep = getelementptr i8, ptr %job, i64 {JOB_ERROR}
  %fp = getelementptr i8, ptr %job, i64 {JOB_FAILED}
  %l = call i32 @pthread_mutex_lock(ptr %mutex)
  br label %check
check:
  %s = load i64, ptr %state
  switch i64 %s, label %wait [i64 {ASKED}, label %asked
    i64 {DONE}, label %done]
wait:
  %w = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %check
asked:
  ; a handler may itself run a recursion on another such thread
  %before = load atomic i64, ptr @deputy monotonic, align 8
  %ctx = load ptr, ptr %cp
  %error = load i64, ptr %ep
  %f = call i64 @look(ptr %ctx, i64 %error)
  store i64 %f, ptr %fp
  store ptr %job, ptr @deputy_job
  store atomic i64 %before, ptr @deputy monotonic, align 8
  store i64 0, ptr %state
  %b = call i32 @pthread_cond_broadcast(ptr %condition)
  br label %check
done:
  %u = call i32 @pthread_mutex_unlock(ptr %mutex)
  %j = call i32 @pthread_join(i64 %thread, ptr null)
  ret void
}}
"""
EXPORTS = ("rt_ticks", "rt_poll", "rt_main_thread")
PYTHON = ("PyGILState_Ensure", "PyGILState_Release", "PyErr_CheckSignals", "PyErr_Fetch")


def watch(set_main_thread: int) -> None:
    """Tell the run-time system which thread is Python's main one, here and in forked children."""
    tell = ctypes.CFUNCTYPE(None, ctypes.c_uint64)(set_main_thread)
    tell(threading.main_thread().ident)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: tell(threading.get_ident()))
