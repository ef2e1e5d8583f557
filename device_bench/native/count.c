/* A QEMU plugin: counts the guest's A64 instructions by class, and writes them down at two marks.
 *
 *   qemu-aarch64 -plugin libcount.so,out=FILE PROGRAM …
 *
 * The guest marks with system calls 5000 and 5001, which do not exist. Each adds a line to FILE: the call's
 * number, then how many instructions of each class were executed up to it, in the order of `enum class`.
 * A block of guest code ends at a system call, so that a line holds exactly what came before it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_plugin.h"

enum { FIRST_MARK = 5000, LAST_MARK = 5001 };
enum class { DOT_PRODUCT, FMA, LOAD_STORE, BRANCH, OTHER, CLASSES };

struct pattern {
  uint32_t mask, value;
  enum class class;
};

/* Encodings of the Arm Architecture Reference Manual for A-profile, C4.1, "A64 instruction set encoding".
 * Bits that are free in a pattern: Q (30, half or full vectors), Rm, Rn, Rd, Ra and an element's index. */
static const struct pattern PATTERNS[] = {
    {0xBFE0FC00, 0x0E809400, DOT_PRODUCT}, /* SDOT, vector */
    {0xBFE0FC00, 0x2E809400, DOT_PRODUCT}, /* UDOT, vector */
    {0xBFE0FC00, 0x0E809C00, DOT_PRODUCT}, /* USDOT, vector */
    {0xBFC0F400, 0x0F80E000, DOT_PRODUCT}, /* SDOT, by element */
    {0xBFC0F400, 0x2F80E000, DOT_PRODUCT}, /* UDOT, by element */
    {0xBFC0F400, 0x0F80F000, DOT_PRODUCT}, /* USDOT, by element */
    {0xBFC0F400, 0x0F00F000, DOT_PRODUCT}, /* SUDOT, by element */
    {0xFFE0FC00, 0x4E80A400, DOT_PRODUCT}, /* SMMLA */
    {0xFFE0FC00, 0x6E80A400, DOT_PRODUCT}, /* UMMLA */
    {0xFFE0FC00, 0x4E80AC00, DOT_PRODUCT}, /* USMMLA */
    {0xBFA0FC00, 0x0E20CC00, FMA},         /* FMLA, vector of S or D */
    {0xBFA0FC00, 0x0EA0CC00, FMA},         /* FMLS */
    {0xBFE0FC00, 0x0E400C00, FMA},         /* FMLA, vector of H */
    {0xBFE0FC00, 0x0EC00C00, FMA},         /* FMLS */
    {0xBF80F400, 0x0F801000, FMA},         /* FMLA, by element, S or D */
    {0xBF80F400, 0x0F805000, FMA},         /* FMLS */
    {0xBFC0F400, 0x0F001000, FMA},         /* FMLA, by element, H */
    {0xBFC0F400, 0x0F005000, FMA},         /* FMLS */
    {0xFF80F400, 0x5F801000, FMA},         /* FMLA, scalar by element, S or D */
    {0xFF80F400, 0x5F805000, FMA},         /* FMLS */
    {0xFFC0F400, 0x5F001000, FMA},         /* FMLA, scalar by element, H */
    {0xFFC0F400, 0x5F005000, FMA},         /* FMLS */
    {0xBFE0FC00, 0x0E20EC00, FMA},         /* FMLAL, vector */
    {0xBFE0FC00, 0x0EA0EC00, FMA},         /* FMLSL */
    {0xBFE0FC00, 0x2E20CC00, FMA},         /* FMLAL2 */
    {0xBFE0FC00, 0x2EA0CC00, FMA},         /* FMLSL2 */
    {0xBFC0F400, 0x0F800000, FMA},         /* FMLAL, by element */
    {0xBFC0F400, 0x0F804000, FMA},         /* FMLSL */
    {0xBFC0F400, 0x2F808000, FMA},         /* FMLAL2 */
    {0xBFC0F400, 0x2F80C000, FMA},         /* FMLSL2 */
    {0xFF000000, 0x1F000000, FMA},         /* FMADD, FMSUB, FNMADD, FNMSUB */
    {0x0A000000, 0x08000000, LOAD_STORE},  /* all of group "Loads and Stores", prefetches and atomics too */
    {0x7C000000, 0x14000000, BRANCH},      /* B, BL */
    {0xFF000000, 0x54000000, BRANCH},      /* B.cond */
    {0x7E000000, 0x34000000, BRANCH},      /* CBZ, CBNZ */
    {0x7E000000, 0x36000000, BRANCH},      /* TBZ, TBNZ */
    {0xFE000000, 0xD6000000, BRANCH},      /* BR, BLR, RET and their like */
};

static uint64_t executed[CLASSES];
static FILE *out;

static enum class class_of(uint32_t word) {
  for (size_t i = 0; i < sizeof PATTERNS / sizeof *PATTERNS; i++)
    if ((word & PATTERNS[i].mask) == PATTERNS[i].value) return PATTERNS[i].class;
  return OTHER;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  uint64_t found[CLASSES] = {0};
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
    uint32_t word;
    memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof word);
    found[class_of(word)]++;
  }
  for (int class = 0; class < CLASSES; class++)
    if (found[class])
      qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &executed[class],
                                               found[class]);
}

static void called(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t a, uint64_t b, uint64_t c,
                   uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
  (void)id, (void)vcpu, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
  if (number < FIRST_MARK || number > LAST_MARK) return;
  fprintf(out, "%" PRId64, number);
  for (int class = 0; class < CLASSES; class++) fprintf(out, " %" PRIu64, executed[class]);
  fputc('\n', out);
  if (fflush(out)) abort(); /* a lost line would look like an inference that was not counted */
}

PLUGIN_EXPORT int qemu_plugin_version = 1;

PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
  (void)info;
  for (int i = 0; i < argc; i++)
    if (!strncmp(argv[i], "out=", 4)) out = fopen(argv[i] + 4, "w");
  if (!out) {
    fputs("count: give a file that can be written: -plugin libcount.so,out=FILE\n", stderr);
    return 1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_vcpu_syscall_cb(id, called);
  return 0;
}
