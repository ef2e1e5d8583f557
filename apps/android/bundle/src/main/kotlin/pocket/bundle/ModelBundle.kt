package pocket.bundle

import java.io.IOException
import java.security.MessageDigest

/** Why a bundle is refused, in the sentence that every platform says. */
class BundleRefused(sentence: String) : Exception(sentence)

/**
 * A checked bundle: a program, the tokenizer it was trained with, and what the manifest says of both.
 *
 * apps/README.md is the contract. Nothing of the folder may be used before [read] returns.
 */
data class ModelBundle(
    val folder: Folder,
    val name: String,
    /** Which runtime the program is for. */
    val target: String,
    /** The program's name inside of the folder. */
    val program: String,
    val task: Task,
    /** Sequence lengths that the program takes, ascending. */
    val lengths: List<Int>,
    val metrics: Map<String, Double>,
    /** False: made, and never seen to run. An app should not use it unless it was asked to. */
    val isVerified: Boolean,
    val whyNotVerified: String?,
    val seal: String,
) {
    /** The shortest length that holds so many tokens; null when none does. */
    fun lengthFor(tokens: Int): Int? = lengths.firstOrNull { it >= tokens }

    companion object {
        const val FORMAT = 1
        private const val MANIFEST = "manifest.json"

        /**
         * Reads the manifest and compares every file with it.
         *
         * @throws BundleRefused for a folder that is no bundle, one that was altered, one of a newer format,
         * or one of a task that is unknown or not [wanted].
         */
        fun read(folder: Folder, wanted: Task.Kind? = null): ModelBundle {
            val (manifest, kind) = manifest(folder, wanted)
            val files = manifest["files"]?.members.orEmpty()
            check(folder, files)
            val name = manifest["name"]?.text ?: lacksField()
            val target = manifest["target"]?.text ?: lacksField()
            val program = manifest["program"]?.text ?: lacksField()
            checkInside(program)
            val task = Task.read(kind, manifest["windows"]) ?: lacksField()
            val metrics = manifest["metrics"]?.members ?: lacksField()
            val lengths = lengths(manifest["lengths"]) ?: lacksField()
            if (files.keys.none { it == program || it.startsWith("$program/") }) {
                throw BundleRefused("its program is missing; make the bundle again")
            }
            return ModelBundle(
                folder = folder,
                name = name,
                target = target,
                program = program,
                task = task,
                lengths = lengths,
                metrics = metrics.mapNotNull { (key, value) -> value.double?.let { key to it } }.toMap(),
                isVerified = manifest["verified"]?.flag ?: true,
                whyNotVerified = manifest["why_not_verified"]?.text,
                seal = manifest["seal"]?.text.orEmpty(),
            )
        }

        /** A manifest that is what was sealed, of this format and of a known task. */
        private fun manifest(folder: Folder, wanted: Task.Kind?): Pair<Json, Task.Kind> {
            val bytes =
                try {
                    folder.open(MANIFEST).use { it.readBytes() }
                } catch (_: IOException) {
                    throw BundleRefused("it has no $MANIFEST, so it is not a bundle")
                }
            val manifest =
                try {
                    readJson(bytes)
                } catch (_: MalformedJson) {
                    damaged()
                }
            val format = (manifest["format"] as? Json.Number)?.digits ?: damaged()
            val task = manifest["task"] ?: damaged()
            val files = manifest["files"] ?: damaged()
            if (format == "0" || !format.all { it in '0'..'9' }) damaged()
            if (format != "$FORMAT") {
                throw BundleRefused(
                    "it has format $format, newer than the $FORMAT this software reads; update the software",
                )
            }
            val kind = Task.Kind.entries.firstOrNull { it.title == task.text }
            if (kind == null) {
                val known = Task.Kind.entries.joinToString { it.title }
                throw BundleRefused("its task is ${task.canonical()}, not one of $known")
            }
            if (wanted != null && wanted != kind) {
                throw BundleRefused("its task is ${task.canonical()}, and \"${wanted.title}\" is wanted")
            }
            val isList = files.members?.values?.all { it is Json.Members } == true
            val isSealed = manifest["seal"]?.text == seal(manifest)
            if (!isList || !isSealed || !bytes.contentEquals(manifest.indented().toByteArray())) {
                throw BundleRefused("$MANIFEST was altered; make the bundle again")
            }
            return manifest to kind
        }

        private fun seal(manifest: Json): String {
            val sealed = Json.Members(manifest.members.orEmpty() - "seal")
            return hexadecimal(sha256().digest(sealed.canonical().toByteArray()))
        }

        private fun lengths(field: Json?): List<Int>? {
            val fixed = field?.get("fixed")
            val found =
                if (fixed != null) {
                    fixed.items?.map { it.whole ?: return null }.orEmpty()
                } else {
                    val shortest = field?.get("shortest")?.whole ?: return null
                    val longest = field["longest"]?.whole ?: return null
                    (shortest..longest).toList()
                }
            val ascends = found.zipWithNext().all { (first, second) -> first < second }
            return found.takeIf { it.isNotEmpty() && it.first() > 0 && ascends }
        }

        private fun check(folder: Folder, expected: Map<String, Json>) {
            folder.links().minWithOrNull(ByCodePoint)?.let {
                throw BundleRefused("$it is a symbolic link; a bundle holds plain files only")
            }
            val found = folder.files() - MANIFEST
            for (name in (expected.keys + found).sortedWith(ByCodePoint)) {
                checkInside(name)
                if (name !in found) throw BundleRefused("$name is missing; make the bundle again")
                val entry = expected[name] ?: throw BundleRefused("$name is not in its manifest; remove it")
                if (entry["sha256"]?.text != hash(folder, name)) {
                    throw BundleRefused("$name was altered; make the bundle again")
                }
            }
        }

        private fun checkInside(name: String) {
            val parts = name.split("/").filter { it != "" && it != "." }
            if (parts.isEmpty() || name.startsWith("/") || ".." in parts || "\\" in name) {
                val shown = Json.Text(name).canonical()
                throw BundleRefused("$MANIFEST names $shown, which is outside of the bundle")
            }
        }

        private fun hash(folder: Folder, name: String): String {
            val digest = sha256()
            val part = ByteArray(1 shl 16)
            folder.open(name).use { stream ->
                generateSequence { stream.read(part).takeIf { it >= 0 } }.forEach { digest.update(part, 0, it) }
            }
            return hexadecimal(digest.digest())
        }

        private fun sha256(): MessageDigest = MessageDigest.getInstance("SHA-256")

        private fun hexadecimal(bytes: ByteArray): String =
            bytes.joinToString("") { (it.toInt() and 0xFF).toString(16).padStart(2, '0') }

        private fun damaged(): Nothing = throw BundleRefused("$MANIFEST is damaged; make the bundle again")

        private fun lacksField(): Nothing =
            throw BundleRefused("$MANIFEST lacks a field that a bundle needs; make the bundle again")
    }
}
