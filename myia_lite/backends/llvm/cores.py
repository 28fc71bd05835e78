"""The threads of compiled code: a pool of workers that large loops are spread over, in LLVM IR.

`rt_parallel(chunk, env, count, grain)` runs `chunk(env, first, last)` over 0..count in pieces of `grain`, and returns
when all are done.  The pieces do not depend on how many threads there are, so neither do results; which thread takes
which is decided as they come free, so that a core that something else keeps busy holds up nobody.

One region runs at a time: a nested one, or one of another Python thread, is run by its caller alone.  The lock holds
the number of the process that took it, and workers belong to the process that made them: a forked child breaks its
parent's lock and makes workers of its own.  Workers wait for the next region for a moment, then sleep.
"""

from __future__ import annotations

import os

SPINS = 2000  # pauses, some 30 µs: as long as waking a thread takes
LIMIT = 256  # threads
CLOSED = 1 << 31


def threads() -> int:
    """How many threads a region may use: MYIA_NUM_THREADS, or as many as this process has CPUs."""
    given = os.environ.get("MYIA_NUM_THREADS", "").strip()
    if given.isdecimal() and int(given) > 0:
        return min(int(given), LIMIT)
    affinity = getattr(os, "sched_getaffinity", None)
    return min(len(affinity(0)) if affinity else os.cpu_count() or 1, LIMIT)


def text(triple: str) -> str:
    """The pool; `triple` tells how a thread says that it only waits."""
    pause, declaration = "", ""
    if triple.startswith("x86_64"):
        pause, declaration = "call void @llvm.x86.sse2.pause()", "declare void @llvm.x86.sse2.pause()"
    elif triple.startswith(("aarch64", "arm64")):
        pause, declaration = "call void @llvm.aarch64.hint(i32 1)", "declare void @llvm.aarch64.hint(i32)"
    setmask = "3" if "darwin" in triple or "macos" in triple else "2"
    return TEXT.replace("PAUSE", pause).replace("SETMASK", setmask) + declaration + "\n"


# @state is the region's number, a bit that is set once its pieces are given out, and how many workers are inside.
TEXT = f"""
@state = internal global i64 {CLOSED}, align 64
@next = internal global i64 0, align 64
@job = internal global [4 x i64] zeroinitializer, align 64
@region = internal global i32 0, align 64
@owner = internal global i32 0
@team = internal global i64 1
@sleeping = internal global i32 0, align 64
@mutex = internal global [16 x i64] zeroinitializer, align 64
@woken = internal global [16 x i64] zeroinitializer, align 64

declare i32 @getpid()
declare i32 @sched_yield()
declare i32 @pthread_detach(i64)
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare i32 @sigfillset(ptr)
declare i32 @pthread_sigmask(i32, ptr, ptr)

define void @rt_threads(i64 %n) {{
  store atomic i64 %n, ptr @team monotonic, align 8
  ret void
}}

; take pieces of the region until there are no more
define internal void @pieces() {{
entry:
  %chunk = load ptr, ptr @job
  %ep = getelementptr i64, ptr @job, i64 1
  %env = load ptr, ptr %ep
  %np = getelementptr i64, ptr @job, i64 2
  %n = load i64, ptr %np
  %gp = getelementptr i64, ptr @job, i64 3
  %grain = load i64, ptr %gp
  br label %take
take:
  %first = atomicrmw add ptr @next, i64 %grain monotonic
  %some = icmp slt i64 %first, %n
  br i1 %some, label %run, label %done
run:
  %end = add i64 %first, %grain
  %last = call i64 @llvm.umin.i64(i64 %end, i64 %n)
  call void %chunk(ptr %env, i64 %first, i64 %last)
  br label %take
done:
  ret void
}}

define internal ptr @worker(ptr %none) {{
entry:
  br label %wait
wait:
  %seen = phi i64 [0, %entry], [%number, %closed], [%number, %worked], [%seen, %slept]
  br label %spin
spin:
  %k = phi i64 [0, %wait], [%k1, %more], [%k, %join]
  %s = load atomic i64, ptr @state seq_cst, align 8
  %number = lshr i64 %s, 32
  %new = icmp ne i64 %number, %seen
  br i1 %new, label %look, label %old
look:
  %bit = and i64 %s, {CLOSED}
  %late = icmp ne i64 %bit, 0
  br i1 %late, label %closed, label %join
closed:
  br label %wait
join:
  %more_inside = add i64 %s, 1
  %x = cmpxchg ptr @state, i64 %s, i64 %more_inside seq_cst seq_cst
  %in = extractvalue {{ i64, i1 }} %x, 1
  br i1 %in, label %work, label %spin
work:
  call void @pieces()
  %was = atomicrmw sub ptr @state, i64 1 seq_cst
  br label %worked
worked:
  br label %wait
old:
  %k1 = add i64 %k, 1
  %soon = icmp ult i64 %k1, {SPINS}
  br i1 %soon, label %more, label %sleep
more:
  PAUSE
  br label %spin
sleep:
  %l = call i32 @pthread_mutex_lock(ptr @mutex)
  %z1 = atomicrmw add ptr @sleeping, i32 1 seq_cst
  br label %check
check:
  %t = load atomic i64, ptr @state seq_cst, align 8
  %tn = lshr i64 %t, 32
  %still = icmp eq i64 %tn, %seen
  br i1 %still, label %doze, label %up
doze:
  %w = call i32 @pthread_cond_wait(ptr @woken, ptr @mutex)
  br label %check
up:
  %z2 = atomicrmw sub ptr @sleeping, i32 1 seq_cst
  %u = call i32 @pthread_mutex_unlock(ptr @mutex)
  br label %slept
slept:
  br label %wait
}}

; a thread that leaves signals to the threads of Python; not 0 where there is none
define internal i32 @silent_thread(ptr %function) {{
entry:
  %thread = alloca i64
  %all = alloca [32 x i64]
  %before = alloca [32 x i64]
  %f = call i32 @sigfillset(ptr %all)
  %b = call i32 @pthread_sigmask(i32 SETMASK, ptr %all, ptr %before)
  %r = call i32 @pthread_create(ptr %thread, ptr null, ptr %function, ptr null)
  %a = call i32 @pthread_sigmask(i32 SETMASK, ptr %before, ptr null)
  %made = icmp eq i32 %r, 0
  br i1 %made, label %detach, label %done
detach:
  %id = load i64, ptr %thread
  %d = call i32 @pthread_detach(i64 %id)
  br label %done
done:
  ret i32 %r
}}

; workers for this process, of which there are none yet
define internal void @hire(i32 %pid, i64 %team) noinline {{
entry:
  %m = call i32 @pthread_mutex_init(ptr @mutex, ptr null)
  %c = call i32 @pthread_cond_init(ptr @woken, ptr null)
  store i32 0, ptr @sleeping
  store i64 {CLOSED}, ptr @state
  store i32 %pid, ptr @owner
  br label %loop
loop:
  %i = phi i64 [1, %entry], [%i1, %next]
  %more = icmp slt i64 %i, %team
  br i1 %more, label %one, label %done
one:
  %r = call i32 @silent_thread(ptr @worker)
  %made = icmp eq i32 %r, 0
  br i1 %made, label %next, label %done
next:
  %i1 = add i64 %i, 1
  br label %loop
done:
  ret void
}}

define void @rt_parallel(ptr %chunk, ptr %env, i64 %n, i64 %grain) {{
entry:
  %team = load atomic i64, ptr @team monotonic, align 8
  %single = icmp ule i64 %team, 1
  %little = lshr i64 %n, 2
  %few = icmp slt i64 %little, %grain
  %alone = or i1 %single, %few
  br i1 %alone, label %serial, label %try
serial:
  call void %chunk(ptr %env, i64 0, i64 %n)
  ret void
try:
  %pid = call i32 @getpid()
  %holder = load atomic i32, ptr @region monotonic, align 4
  %taken = icmp eq i32 %holder, %pid
  br i1 %taken, label %serial, label %lock
lock:
  %x = cmpxchg ptr @region, i32 %holder, i32 %pid seq_cst seq_cst
  %ok = extractvalue {{ i32, i1 }} %x, 1
  br i1 %ok, label %mine, label %serial
mine:
  %owner = load i32, ptr @owner
  %have = icmp eq i32 %owner, %pid
  br i1 %have, label %start, label %fresh
fresh:
  call void @hire(i32 %pid, i64 %team)
  br label %start
start:
  store ptr %chunk, ptr @job
  %ep = getelementptr i64, ptr @job, i64 1
  store ptr %env, ptr %ep
  %np = getelementptr i64, ptr @job, i64 2
  store i64 %n, ptr %np
  %gp = getelementptr i64, ptr @job, i64 3
  store i64 %grain, ptr %gp
  store atomic i64 0, ptr @next monotonic, align 8
  %s = load atomic i64, ptr @state monotonic, align 8
  %number = lshr i64 %s, 32
  %number1 = add i64 %number, 1
  %open = shl i64 %number1, 32
  store atomic i64 %open, ptr @state seq_cst, align 8
  %z = load atomic i32, ptr @sleeping seq_cst, align 4
  %any = icmp sgt i32 %z, 0
  br i1 %any, label %wake, label %run
wake:
  %l = call i32 @pthread_mutex_lock(ptr @mutex)
  %w = call i32 @pthread_cond_broadcast(ptr @woken)
  %u = call i32 @pthread_mutex_unlock(ptr @mutex)
  br label %run
run:
  call void @pieces()
  %q = atomicrmw or ptr @state, i64 {CLOSED} seq_cst
  br label %wait
wait:
  %k = phi i64 [0, %run], [%k1, %pause], [%k1, %yield]
  %t = load atomic i64, ptr @state seq_cst, align 8
  %inside = and i64 %t, {CLOSED - 1}
  %all = icmp eq i64 %inside, 0
  br i1 %all, label %done, label %more
more:
  %k1 = add i64 %k, 1
  %long = icmp ugt i64 %k1, {SPINS}
  br i1 %long, label %yield, label %pause
pause:
  PAUSE
  br label %wait
yield:
  %y = call i32 @sched_yield()
  br label %wait
done:
  store atomic i32 0, ptr @region release, align 4
  ret void
}}
"""
