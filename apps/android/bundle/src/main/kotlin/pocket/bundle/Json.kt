package pocket.bundle

/**
 * A JSON value whose numbers stay as they were written.
 *
 * A manifest's seal covers its text, and what turns numbers into doubles cannot write their digits again as
 * Python wrote them. Android's own org.json also forgives what other readers refuse.
 */
sealed interface Json {
    data object Null : Json

    data class Flag(val value: Boolean) : Json

    data class Number(val digits: String) : Json

    data class Text(val value: String) : Json

    data class Items(val values: List<Json>) : Json

    data class Members(val values: Map<String, Json>) : Json

    /** An object's member; null where there is none or this is no object. */
    operator fun get(key: String): Json? = members?.get(key)

    val members: Map<String, Json>? get() = (this as? Members)?.values
    val items: List<Json>? get() = (this as? Items)?.values
    val text: String? get() = (this as? Text)?.value
    val flag: Boolean? get() = (this as? Flag)?.value

    /** A whole number, written as one: 384, not 384.0. */
    val whole: Int? get() = (this as? Number)?.digits?.toIntOrNull()
    val double: Double? get() = (this as? Number)?.digits?.toDoubleOrNull()

    /** Sorted keys, no spaces, ASCII only: what a seal covers, and how values are shown in sentences. */
    fun canonical(): String = StringBuilder().also { JsonWriter(it, ascii = true, indents = false).write(this) }.toString()

    /** Sorted keys, one space a level: how a manifest is written. */
    fun indented(): String = StringBuilder().also { JsonWriter(it, ascii = false, indents = true).write(this) }.toString()
}

/** Compares by code points, as Python does; `String.compareTo` compares UTF-16 code units. */
object ByCodePoint : Comparator<String> {
    override fun compare(one: String, other: String): Int {
        var place = 0
        while (place < one.length && place < other.length) {
            val first = one.codePointAt(place)
            val second = other.codePointAt(place)
            if (first != second) return first.compareTo(second)
            place += Character.charCount(first)
        }
        return one.length.compareTo(other.length)
    }
}

private class JsonWriter(
    private val out: StringBuilder,
    private val ascii: Boolean,
    private val indents: Boolean,
) {
    private var level = 0

    fun write(value: Json) {
        when (value) {
            Json.Null -> out.append("null")
            is Json.Flag -> out.append(value.value)
            is Json.Number -> out.append(value.digits)
            is Json.Text -> write(value.value)
            is Json.Items -> write('[', value.values, ']') { write(it) }
            is Json.Members ->
                write('{', value.values.toSortedMap(ByCodePoint).entries, '}') { (key, member) ->
                    write(key)
                    out.append(if (indents) ": " else ":")
                    write(member)
                }
        }
    }

    private fun <Element> write(open: Char, elements: Collection<Element>, close: Char, element: (Element) -> Unit) {
        out.append(open)
        level += 1
        elements.forEachIndexed { place, each ->
            if (place > 0) out.append(',')
            breakLine()
            element(each)
        }
        level -= 1
        if (elements.isNotEmpty()) breakLine()
        out.append(close)
    }

    private fun breakLine() {
        if (!indents) return
        out.append('\n')
        repeat(level) { out.append(' ') }
    }

    private fun write(text: String) {
        out.append('"')
        for (unit in text) {
            when (unit) {
                '"' -> out.append("\\\"")
                '\\' -> out.append("\\\\")
                '\n' -> out.append("\\n")
                '\r' -> out.append("\\r")
                '\t' -> out.append("\\t")
                '\b' -> out.append("\\b")
                '\u000C' -> out.append("\\f")
                else ->
                    if (unit.code < 0x20 || ascii && unit.code > 0x7E) {
                        out.append("\\u").append(unit.code.toString(16).padStart(4, '0'))
                    } else {
                        out.append(unit)
                    }
            }
        }
        out.append('"')
    }
}
