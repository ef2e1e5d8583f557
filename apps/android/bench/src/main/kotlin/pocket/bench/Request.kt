package pocket.bench

import java.io.File

/** What is measured: contenders, the candidate first, and what they are asked. */
class Request(val contenders: List<Contender>, val queries: Queries, val threads: Int, val plan: Plan) {
    init {
        if (threads < 1) throw BenchmarkRefused("threads must be at least 1, not $threads")
    }

    companion object {
        /**
         * What BenchmarkActivity's extras ask for; apps/README.md, "Benchmark mode", names them.
         *
         * @param root the app's external files, which all paths are relative to
         * @param baselines a comma list, or null
         * @throws BenchmarkRefused for extras that are missing or say nothing that can be measured
         * @throws pocket.bundle.BundleRefused in the sentence that every platform says
         */
        fun of(
            root: File,
            bundle: String?,
            baselines: String?,
            queries: String?,
            source: String?,
            threads: Int,
            plan: Plan,
        ): Request {
            if (bundle == null || queries == null || source == null) {
                throw BenchmarkRefused("a benchmark wants the extras bundle, queries and source")
            }
            val folders = listOf(bundle) + baselines?.split(",").orEmpty()
            val asked = Queries.read(inside(root, queries), source)
            return Request(folders.map { Contender.read(inside(root, it)) }, asked, threads, plan)
        }

        /**
         * A path below [root].
         *
         * @throws BenchmarkRefused for one that leaves it: any app may start an exported activity
         */
        fun inside(root: File, path: String): File {
            val file = File(root, path).canonicalFile
            if (!file.startsWith(root.canonicalFile)) throw BenchmarkRefused("$path is outside of the app's files")
            return file
        }
    }
}

/** Windows of token ids that the programs are asked in turn, and what measurement.json says of them. */
class Queries(val windows: List<IntArray>, val source: String) {
    init {
        if (windows.isEmpty() || windows.any { it.isEmpty() }) {
            throw BenchmarkRefused("the queries hold no window, or an empty one")
        }
    }

    /** A run's window. */
    fun of(run: Int): IntArray = windows[run % windows.size]

    /** How many runs make a pass: all queries where their lengths differ. */
    val pass: Int get() = if (windows.map { it.size }.distinct().size > 1) windows.size else 1

    companion object {
        /** One window a line: token ids with spaces between. */
        fun read(file: File, source: String): Queries {
            if (!file.isFile) throw BenchmarkRefused("${file.name} is not there")
            val windows =
                file.readLines().filter { it.isNotBlank() }.map { line ->
                    line.trim().split(" ").map {
                        it.toIntOrNull() ?: throw BenchmarkRefused("${file.name} holds $it, which is no token id")
                    }
                }
            return Queries(windows.map { it.toIntArray() }, source)
        }

        /** Windows of one length, all tokens alike: what a program takes does not depend on their ids. */
        fun fixed(length: Int): Queries = Queries(listOf(IntArray(length) { 100 }), "fixed:$length")
    }
}
