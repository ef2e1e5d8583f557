package pocket.text

/**
 * What the tokenizer makes of code points. unicode.txt says what each table is and why no table of the
 * platform is asked.
 *
 * @param text the content of unicode.txt, which is part of the program and so not doubted
 */
internal class UnicodeTables(text: String) {
    private val lines: Map<String, List<String>> =
        text.lineSequence()
            .filter { it.isNotEmpty() && !it.startsWith("#") }
            .map { it.removePrefix("class ").split(" ") }
            .groupBy({ it[0] }, { it.drop(1) })
            .mapValues { (_, items) -> items.flatten() }

    val dropped = CodePoints(lines.getValue("dropped"))
    val whitespace = CodePoints(lines.getValue("whitespace"))
    val ideographs = CodePoints(lines.getValue("ideograph"))
    val nonspacing = CodePoints(lines.getValue("nonspacing"))
    val punctuation = CodePoints(lines.getValue("punctuation"))
    private val classes =
        lines.mapNotNull { (name, items) -> name.toIntOrNull()?.let { it to CodePoints(items) } }
    private val marks = CodePoints(lines.filterKeys { it.toIntOrNull() != null }.values.flatten())
    private val decompositions = mappings(lines.getValue("decompose"))
    private val lowerCases = mappings(lines.getValue("lower"))

    /** The canonical combining class. */
    fun combiningClass(point: Int): Int = if (point in marks) classes.first { point in it.second }.first else 0

    /** The full canonical decomposition; the code point itself where it has none. */
    fun decomposition(point: Int): IntArray {
        if (point !in HANGUL) return decompositions[point] ?: intArrayOf(point)
        val place = point - HANGUL.first
        val syllable = intArrayOf(0x1100 + place / 588, 0x1161 + place % 588 / 28)
        return if (place % 28 == 0) syllable else syllable + (0x11A7 + place % 28)
    }

    fun lowerCase(point: Int): IntArray = lowerCases[point] ?: intArrayOf(point)

    /** Items A=B.C, A:+D, A-B:+D and A-B/S:+D. */
    private fun mappings(items: List<String>): Map<Int, IntArray> {
        val mappings = HashMap<Int, IntArray>()
        for (item in items) {
            if ('=' in item) {
                val (from, to) = item.split("=")
                mappings[from.toInt(16)] = to.split(".").map { it.toInt(16) }.toIntArray()
            } else {
                val (where, distance) = item.split(":")
                val points = where.split("/")
                for (point in range(points[0]) step (points.getOrNull(1)?.toInt() ?: 1)) {
                    mappings[point] = intArrayOf(point + distance.toInt(16))
                }
            }
        }
        return mappings
    }

    companion object {
        private val HANGUL = 0xAC00..0xD7A3

        /** The tables that come with this module. */
        val shared: UnicodeTables by lazy {
            val stream = checkNotNull(UnicodeTables::class.java.getResourceAsStream("unicode.txt"))
            UnicodeTables(stream.use { String(it.readBytes(), Charsets.UTF_8) })
        }
    }
}

/** A set of code points, as ascending ranges. */
internal class CodePoints(items: List<String>) {
    private val ranges = items.map(::range).sortedBy { it.first }
    private val firsts = IntArray(ranges.size) { ranges[it].first }
    private val lasts = IntArray(ranges.size) { ranges[it].last }

    operator fun contains(point: Int): Boolean {
        val found = firsts.binarySearch(point)
        val place = if (found >= 0) found else -found - 2
        return place >= 0 && point <= lasts[place]
    }
}

private fun range(item: String): IntRange {
    val ends = item.split("-").map { it.toInt(16) }
    return ends.first()..ends.last()
}
