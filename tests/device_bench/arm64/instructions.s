// What the counter has to tell apart, in a straight line and in a loop, between its two marks.
    .arch armv8.6-a+fp16+fp16fml+i8mm+dotprod+lse+bf16
    .text
    .global _start
_start:
    adrp    x20, room
    add     x20, x20, :lo12:room
    mov     x8, #5000
    svc     #0
straight:
    // Dot products.
    sdot    v0.4s, v1.16b, v2.16b
    sdot    v0.2s, v1.8b, v2.8b
    udot    v31.4s, v30.16b, v29.16b
    usdot   v0.4s, v1.16b, v2.16b
    sdot    v0.4s, v1.16b, v2.4b[0]
    sdot    v0.4s, v1.16b, v31.4b[3]
    udot    v0.2s, v1.8b, v2.4b[2]
    usdot   v0.4s, v1.16b, v2.4b[1]
    sudot   v0.4s, v1.16b, v2.4b[3]
    smmla   v0.4s, v1.16b, v2.16b
    ummla   v3.4s, v4.16b, v5.16b
    usmmla  v6.4s, v7.16b, v8.16b
    // Fused multiplications and additions.
    fmla    v0.4s, v1.4s, v2.4s
    fmla    v0.2d, v1.2d, v2.2d
    fmls    v0.2s, v1.2s, v2.2s
    fmla    v0.8h, v1.8h, v2.8h
    fmls    v0.4h, v1.4h, v2.4h
    fmla    v0.4s, v1.4s, v2.s[0]
    fmla    v0.4s, v1.4s, v31.s[3]
    fmls    v0.2d, v1.2d, v2.d[1]
    fmla    v0.8h, v1.8h, v2.h[7]
    fmls    v0.4h, v1.4h, v15.h[3]
    fmla    s0, s1, v2.s[2]
    fmls    d0, d1, v2.d[0]
    fmla    h0, h1, v2.h[5]
    fmls    h0, h1, v2.h[0]
    fmlal   v0.4s, v1.4h, v2.4h
    fmlsl   v0.2s, v1.2h, v2.2h
    fmlal2  v0.4s, v1.4h, v2.4h
    fmlsl2  v0.4s, v1.4h, v2.4h
    fmlal   v0.4s, v1.4h, v2.h[4]
    fmlsl   v0.4s, v1.4h, v2.h[1]
    fmlal2  v0.4s, v1.4h, v2.h[7]
    fmlsl2  v0.4s, v1.4h, v2.h[3]
    fmadd   s0, s1, s2, s3
    fmsub   d0, d1, d2, d3
    fnmadd  s0, s1, s2, s3
    fnmsub  h0, h1, h2, h3
    // Loads and stores.
    ldr     x0, [x20]
    ldr     w1, [x20, #4]
    ldrb    w1, [x20, #1]
    ldrsw   x1, [x20], #8
    str     x0, [x20, #-8]!
    ldp     x2, x3, [x20]
    stp     q0, q1, [x20]
    ldr     q2, [x20, #16]
    stur    d3, [x20, #3]
    ld1     {v0.16b, v1.16b}, [x20]
    st1     {v0.s}[1], [x20]
    ld4     {v4.4s, v5.4s, v6.4s, v7.4s}, [x20]
    ld1r    {v4.4s}, [x20]
    ldxr    x4, [x20]
    stxr    w5, x4, [x20]
    ldar    x4, [x20]
    ldadd   x4, x5, [x20]
    swp     x4, x5, [x20]
    cas     x4, x5, [x20]
    prfm    pldl1keep, [x20]
    ldr     x6, somewhere
    // What looks like one of these and is not.
    fmul    v0.4s, v1.4s, v2.4s
    fmul    v0.4s, v1.4s, v2.s[1]
    fmulx   v0.4s, v1.4s, v2.4s
    fadd    v0.4s, v1.4s, v2.4s
    mla     v0.4s, v1.4s, v2.4s
    mla     v0.4s, v1.4s, v2.s[1]
    mls     v0.8h, v1.8h, v2.8h
    smlal   v0.4s, v1.4h, v2.4h
    smlal   v0.4s, v1.4h, v2.h[1]
    sqrdmlah v0.4s, v1.4s, v2.4s
    sqdmulh v0.4s, v1.4s, v2.s[0]
    bfdot   v0.4s, v1.8h, v2.8h
    bfmmla  v0.4s, v1.8h, v2.8h
    fcmla   v0.4s, v1.4s, v2.4s, #90
    madd    x0, x1, x2, x3
    smaddl  x0, w1, w2, x3
    umulh   x0, x1, x2
    fcvtzs  w0, s0
    fdiv    s0, s1, s2
    fcsel   s0, s1, s2, eq
    dup     v0.4s, w0
    movi    v0.16b, #1
    tbl     v0.16b, {v1.16b}, v2.16b
    add     x0, x1, x2, lsl #3
    csel    x0, x1, x2, ne
    adr     x0, somewhere
    nop
    dmb     ish
    mrs     x0, tpidr_el0
    // Branches, all to the next instruction.
    b       1f
1:  bl      2f
2:  cbz     xzr, 3f
3:  cbnz    xzr, 4f
4:  tbz     wzr, #3, 5f
5:  tbnz    xzr, #40, 6f
6:  cmp     x0, x0
    b.eq    7f
7:  b.ne    8f
8:  adr     x9, 9f
    br      x9
9:  adr     x9, 10f
    blr     x9
10: adr     x30, 11f
    ret
11: mov     x10, #1000
loop:
    sdot    v0.4s, v1.16b, v2.16b
    fmla    v3.4s, v4.4s, v5.4s
    fmla    v3.4s, v4.4s, v5.s[1]
    ldr     q1, [x20]
    subs    x10, x10, #1
    b.ne    loop
after:
    mov     x8, #5001
    svc     #0
end:
    mov     x8, #93
    mov     x0, #0
    svc     #0
    .balign 8
somewhere:
    .quad   1
    .bss
    .balign 64
room:
    .skip   256
