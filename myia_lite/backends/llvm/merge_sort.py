"""Sorting: a stable merge sort of integer keys, each with its place, as a part of the run-time system.

Every dtype has an order-preserving map to 64-bit integers, so one routine sorts them all.  It merges from one pair of
buffers into another and back; blocks of a few elements are sorted by insertion first, and neighbours that are in order
already are only copied, so that sorted input costs one pass for each doubling.
"""

BLOCK = 16  # elements: up to here insertion is faster than merging

TEXT = f"""
; order[k] becomes the place of the k-th smallest of key[0..n), equal keys in the order of their places; all four
; buffers, of n integers each, are written over
define void @rt_argsort(ptr %key, ptr %order, ptr %key2, ptr %order2, i64 %n) {{
entry:
  br label %blocks
blocks:
  %start = phi i64 [0, %entry], [%stop, %sorted]
  %more = icmp slt i64 %start, %n
  br i1 %more, label %block, label %widths
block:
  %full = add i64 %start, {BLOCK}
  %short = icmp slt i64 %n, %full
  %stop = select i1 %short, i64 %n, i64 %full
  br label %insert
insert:
  %i = phi i64 [%start, %block], [%i1, %put]
  %inside = icmp slt i64 %i, %stop
  br i1 %inside, label %take, label %sorted
take:
  %ip = getelementptr i64, ptr %key, i64 %i
  %x = load i64, ptr %ip
  %i1 = add i64 %i, 1
  br label %shift
shift:
  %j = phi i64 [%i, %take], [%j1, %move]
  %first = icmp eq i64 %j, %start
  br i1 %first, label %put, label %compare
compare:
  %j1 = sub i64 %j, 1
  %jp = getelementptr i64, ptr %key, i64 %j1
  %y = load i64, ptr %jp
  %larger = icmp sgt i64 %y, %x
  br i1 %larger, label %move, label %put
move:
  %jq = getelementptr i64, ptr %key, i64 %j
  store i64 %y, ptr %jq
  %jo = getelementptr i64, ptr %order, i64 %j1
  %o = load i64, ptr %jo
  %jr = getelementptr i64, ptr %order, i64 %j
  store i64 %o, ptr %jr
  br label %shift
put:
  %at = getelementptr i64, ptr %key, i64 %j
  store i64 %x, ptr %at
  %ato = getelementptr i64, ptr %order, i64 %j
  store i64 %i, ptr %ato
  br label %insert
sorted:
  br label %blocks

widths:
  %width = phi i64 [{BLOCK}, %blocks], [%twice, %next]
  %a = phi ptr [%key, %blocks], [%b, %next]
  %ao = phi ptr [%order, %blocks], [%bo, %next]
  %b = phi ptr [%key2, %blocks], [%a, %next]
  %bo = phi ptr [%order2, %blocks], [%ao, %next]
  %wide = icmp slt i64 %width, %n
  br i1 %wide, label %pairs, label %finish
pairs:
  %low = phi i64 [0, %widths], [%high, %pair]
  %any = icmp slt i64 %low, %n
  br i1 %any, label %halves, label %next
halves:
  %m0 = add i64 %low, %width
  %h0 = add i64 %m0, %width
  %mid = call i64 @llvm.umin.i64(i64 %m0, i64 %n)
  %high = call i64 @llvm.umin.i64(i64 %h0, i64 %n)
  %single = icmp eq i64 %mid, %high
  br i1 %single, label %rest, label %touching
touching:
  %last = sub i64 %mid, 1
  %lastp = getelementptr i64, ptr %a, i64 %last
  %lastx = load i64, ptr %lastp
  %midp = getelementptr i64, ptr %a, i64 %mid
  %midx = load i64, ptr %midp
  %apart = icmp sle i64 %lastx, %midx
  br i1 %apart, label %rest, label %merge
merge:
  %p = phi i64 [%low, %touching], [%p1, %merge]
  %q = phi i64 [%mid, %touching], [%q1, %merge]
  %k = phi i64 [%low, %touching], [%k1, %merge]
  %pp = getelementptr i64, ptr %a, i64 %p
  %px = load i64, ptr %pp
  %qp = getelementptr i64, ptr %a, i64 %q
  %qx = load i64, ptr %qp
  %right = icmp slt i64 %qx, %px
  %x1 = select i1 %right, i64 %qx, i64 %px
  %from = select i1 %right, i64 %q, i64 %p
  %fp = getelementptr i64, ptr %ao, i64 %from
  %fo = load i64, ptr %fp
  %kp = getelementptr i64, ptr %b, i64 %k
  store i64 %x1, ptr %kp
  %ko = getelementptr i64, ptr %bo, i64 %k
  store i64 %fo, ptr %ko
  %r = zext i1 %right to i64
  %q1 = add i64 %q, %r
  %s = xor i64 %r, 1
  %p1 = add i64 %p, %s
  %k1 = add i64 %k, 1
  %some = icmp slt i64 %p1, %mid
  %others = icmp slt i64 %q1, %high
  %go = and i1 %some, %others
  br i1 %go, label %merge, label %rest
rest:
  %rp = phi i64 [%low, %halves], [%low, %touching], [%p1, %merge]
  %rq = phi i64 [%mid, %halves], [%mid, %touching], [%q1, %merge]
  %rk = phi i64 [%low, %halves], [%low, %touching], [%k1, %merge]
  %left = sub i64 %mid, %rp
  %leftbytes = shl i64 %left, 3
  %d1 = getelementptr i64, ptr %b, i64 %rk
  %s1 = getelementptr i64, ptr %a, i64 %rp
  call void @llvm.memcpy.p0.p0.i64(ptr %d1, ptr %s1, i64 %leftbytes, i1 false)
  %d2 = getelementptr i64, ptr %bo, i64 %rk
  %s2 = getelementptr i64, ptr %ao, i64 %rp
  call void @llvm.memcpy.p0.p0.i64(ptr %d2, ptr %s2, i64 %leftbytes, i1 false)
  %rk1 = add i64 %rk, %left
  %over = sub i64 %high, %rq
  %overbytes = shl i64 %over, 3
  %d3 = getelementptr i64, ptr %b, i64 %rk1
  %s3 = getelementptr i64, ptr %a, i64 %rq
  call void @llvm.memcpy.p0.p0.i64(ptr %d3, ptr %s3, i64 %overbytes, i1 false)
  %d4 = getelementptr i64, ptr %bo, i64 %rk1
  %s4 = getelementptr i64, ptr %ao, i64 %rq
  call void @llvm.memcpy.p0.p0.i64(ptr %d4, ptr %s4, i64 %overbytes, i1 false)
  br label %pair
pair:
  br label %pairs
next:
  %twice = shl i64 %width, 1
  br label %widths
finish:
  %elsewhere = icmp ne ptr %ao, %order
  br i1 %elsewhere, label %copy, label %done
copy:
  %bytes = shl i64 %n, 3
  call void @llvm.memcpy.p0.p0.i64(ptr %order, ptr %ao, i64 %bytes, i1 false)
  br label %done
done:
  ret void
}}
"""
