package pocket.bundle

/** What a bundle's program is for, with the settings that its manifest states under `windows`. */
sealed interface Task {
    /** The tasks' names in manifests, and the keys of their settings. */
    enum class Kind(val title: String, internal val keys: Set<String>) {
        QUESTION_ANSWERING(
            "question-answering",
            setOf("kind", "max_length", "stride", "n_best", "max_answer_length"),
        ),
        TEXT_CLASSIFICATION("text-classification", setOf("kind", "max_length", "labels", "metrics")),
        REGRESSION("regression", setOf("kind", "max_length", "metrics", "agree_within")),
    }

    companion object {
        /** Null unless the settings are the task's, all of them and no others, each within its range. */
        internal fun read(kind: Kind, settings: Json?): Task? {
            if (settings?.members?.keys != kind.keys || settings["kind"]?.text != kind.title) return null
            return when (kind) {
                Kind.QUESTION_ANSWERING -> QuestionAnswering.read(settings)
                Kind.TEXT_CLASSIFICATION -> TextClassification.read(settings)
                Kind.REGRESSION -> TextRegression.read(settings)
            }
        }
    }
}

/** All numbers but [nBest] count tokens; [stride] is how many of them neighbouring windows share. */
data class QuestionAnswering(
    val maxLength: Int,
    val stride: Int,
    val nBest: Int,
    val maxAnswerLength: Int,
) : Task {
    internal companion object {
        fun read(settings: Json): QuestionAnswering? {
            val maxLength = settings["max_length"].within(16..512) ?: return null
            return QuestionAnswering(
                maxLength,
                settings["stride"].within(1..<maxLength - 8) ?: return null,
                settings["n_best"].within(1..Int.MAX_VALUE) ?: return null,
                settings["max_answer_length"].within(1..Int.MAX_VALUE) ?: return null,
            )
        }
    }
}

/** A label's place in [labels] is its number. */
data class TextClassification(val maxLength: Int, val labels: List<String>) : Task {
    internal companion object {
        fun read(settings: Json): TextClassification? {
            val labels = settings["labels"].texts()
            val metrics = settings["metrics"].texts()
            val maxLength = settings["max_length"].within(8..512)
            return when {
                maxLength == null || labels == null || metrics.isNullOrEmpty() -> null
                labels.size < 2 || labels.distinct().size < labels.size -> null
                !listOf("accuracy", "f1", "matthews").containsAll(metrics) -> null
                labels.size > 2 && metrics.any { it != "accuracy" } -> null
                else -> TextClassification(maxLength, labels)
            }
        }
    }
}

data class TextRegression(val maxLength: Int) : Task {
    internal companion object {
        fun read(settings: Json): TextRegression? {
            val metrics = settings["metrics"].texts()
            val within = settings["agree_within"]?.double
            return when {
                metrics.isNullOrEmpty() || !listOf("pearson", "spearman").containsAll(metrics) -> null
                within == null || !(within > 0 && within.isFinite()) -> null
                else -> settings["max_length"].within(8..512)?.let { TextRegression(it) }
            }
        }
    }
}

private fun Json?.within(range: IntRange): Int? = this?.whole?.takeIf { it in range }

private fun Json?.texts(): List<String>? = this?.items?.map { it.text ?: return null }
