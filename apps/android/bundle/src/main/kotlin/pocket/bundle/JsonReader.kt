package pocket.bundle

import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import java.nio.charset.CodingErrorAction

/** Why a text is no JSON; a bundle's reader says no more than that its manifest is damaged. */
class MalformedJson : Exception("not JSON")

/**
 * Reads UTF-8.
 *
 * Refused with [MalformedJson]: what RFC 8259 refuses, a key that is named twice, half of a surrogate pair,
 * more than a hundred levels. `NaN`, `Infinity` and `-Infinity` are numbers, as Python writes them.
 */
fun readJson(bytes: ByteArray): Json {
    val decoder =
        Charsets.UTF_8.newDecoder()
            .onMalformedInput(CodingErrorAction.REPORT)
            .onUnmappableCharacter(CodingErrorAction.REPORT)
    val text =
        try {
            decoder.decode(ByteBuffer.wrap(bytes)).toString()
        } catch (_: CharacterCodingException) {
            throw MalformedJson()
        }
    return JsonReader(text).document()
}

private class JsonReader(private val text: String) {
    private var place = 0
    private var depth = 0

    fun document(): Json {
        val value = value()
        skipSpace()
        return if (place == text.length) value else refuse()
    }

    private fun value(): Json {
        skipSpace()
        return when (peek) {
            '{' -> nested(::members)
            '[' -> nested(::items)
            '"' -> Json.Text(string())
            else -> word() ?: number()
        }
    }

    private fun nested(read: () -> Json): Json {
        depth += 1
        if (depth > DEEPEST) refuse()
        place += 1
        val value = read()
        depth -= 1
        return value
    }

    private fun members(): Json {
        val members = HashMap<String, Json>()
        skipSpace()
        if (take("}")) return Json.Members(members)
        do {
            skipSpace()
            val key = string()
            skipSpace()
            if (key in members || !take(":")) refuse()
            members[key] = value()
            skipSpace()
        } while (take(","))
        return if (take("}")) Json.Members(members) else refuse()
    }

    private fun items(): Json {
        val items = ArrayList<Json>()
        skipSpace()
        if (take("]")) return Json.Items(items)
        do {
            items += value()
            skipSpace()
        } while (take(","))
        return if (take("]")) Json.Items(items) else refuse()
    }

    private fun string(): String {
        if (!take("\"")) refuse()
        val string = StringBuilder()
        while (true) {
            val unit = peek ?: refuse()
            place += 1
            when {
                unit == '"' -> return whole(string.toString())
                unit == '\\' -> string.append(escaped())
                unit < ' ' -> refuse()
                else -> string.append(unit)
            }
        }
    }

    /** Refuses halves of surrogate pairs. */
    private fun whole(string: String): String {
        var at = 0
        while (at < string.length) {
            val point = string.codePointAt(at)
            if (point in 0xD800..0xDFFF) refuse()
            at += Character.charCount(point)
        }
        return string
    }

    private fun escaped(): Char {
        val letter = peek ?: refuse()
        place += 1
        return when (letter) {
            '"', '\\', '/' -> letter
            'b' -> '\b'
            'f' -> '\u000C'
            'n' -> '\n'
            'r' -> '\r'
            't' -> '\t'
            'u' -> hexadecimal()
            else -> refuse()
        }
    }

    private fun hexadecimal(): Char {
        if (place + 4 > text.length) refuse()
        val digits = text.substring(place, place + 4)
        if (!digits.all { it in '0'..'9' || it in 'a'..'f' || it in 'A'..'F' }) refuse()
        place += 4
        return digits.toInt(16).toChar()
    }

    private fun word(): Json? =
        when {
            take("null") -> Json.Null
            take("true") -> Json.Flag(true)
            take("false") -> Json.Flag(false)
            else -> listOf("NaN", "Infinity", "-Infinity").firstOrNull(::take)?.let { Json.Number(it) }
        }

    private fun number(): Json {
        val first = place
        take("-")
        if (!take("0")) digits()
        if (take(".")) digits()
        if (take("e") || take("E")) {
            if (!take("+")) take("-")
            digits()
        }
        return Json.Number(text.substring(first, place))
    }

    private fun digits() {
        val first = place
        while (peek?.let { it in '0'..'9' } == true) place += 1
        if (place == first) refuse()
    }

    private val peek: Char? get() = text.getOrNull(place)

    private fun skipSpace() {
        while (peek.let { it == ' ' || it == '\n' || it == '\r' || it == '\t' }) place += 1
    }

    private fun take(wanted: String): Boolean {
        val found = text.startsWith(wanted, place)
        if (found) place += wanted.length
        return found
    }

    private fun refuse(): Nothing = throw MalformedJson()

    private companion object {
        const val DEEPEST = 100
    }
}
