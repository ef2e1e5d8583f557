package pocket.text

/** A code point after normalization, and which code point of the original text it stands for. */
internal data class Letter(val point: Int, val origin: Int)

/** BERT's normalization: cleaning, ideographs apart, accents removed, lower case, each where it is asked for. */
internal class Normalizer(
    private val cleansText: Boolean,
    private val separatesIdeographs: Boolean,
    private val stripsAccents: Boolean,
    private val lowercases: Boolean,
) {
    private val tables = UnicodeTables.shared

    fun normalize(given: List<Letter>): List<Letter> {
        var letters = given
        if (cleansText) letters = letters.mapNotNull(::cleansed)
        if (separatesIdeographs) letters = letters.flatMap(::separated)
        if (stripsAccents) letters = decomposed(letters).filter { it.point !in tables.nonspacing }
        if (lowercases) {
            letters = letters.flatMap { letter -> tables.lowerCase(letter.point).map { Letter(it, letter.origin) } }
        }
        return letters
    }

    /** Words and punctuation marks: what stands between white space, and every mark by itself. */
    fun words(letters: List<Letter>): List<List<Letter>> {
        val words = ArrayList<List<Letter>>()
        var first = 0
        for ((place, letter) in letters.withIndex()) {
            val isMark = letter.point in tables.punctuation
            if (!isMark && letter.point !in tables.whitespace) continue
            if (first < place) words += letters.subList(first, place)
            if (isMark) words += letters.subList(place, place + 1)
            first = place + 1
        }
        if (first < letters.size) words += letters.subList(first, letters.size)
        return words
    }

    private fun cleansed(letter: Letter): Letter? =
        when (letter.point) {
            in tables.dropped -> null
            in tables.whitespace -> Letter(' '.code, letter.origin)
            else -> letter
        }

    private fun separated(letter: Letter): List<Letter> {
        if (letter.point !in tables.ideographs) return listOf(letter)
        val space = Letter(' '.code, letter.origin)
        return listOf(space, letter, space)
    }

    private class Part(val point: Int, val mark: Int, val isFirst: Boolean)

    /**
     * Canonical decomposition, marks in canonical order.
     *
     * Origins follow the library: the first part of each code point takes the place of the next original, and
     * further parts stay with the original before, in the order after sorting.
     */
    private fun decomposed(letters: List<Letter>): List<Letter> {
        val parts = ArrayList<Part>(letters.size)
        var marks = 0
        for (letter in letters) {
            tables.decomposition(letter.point).forEachIndexed { place, point ->
                val mark = tables.combiningClass(point)
                var at = parts.size
                while (mark > 0 && at > parts.size - marks && parts[at - 1].mark > mark) at -= 1
                parts.add(at, Part(point, mark, place == 0))
                marks = if (mark > 0) marks + 1 else 0
            }
        }
        var next = 0
        return parts.map { part ->
            if (part.isFirst) next += 1
            Letter(part.point, letters[maxOf(next - 1, 0)].origin)
        }
    }
}
