package pocket.bench

import java.io.File
import java.io.IOException
import pocket.bundle.Json
import pocket.bundle.ModelBundle
import pocket.bundle.readJson

/** What a phone says of itself; null is what it does not tell. Fields as in device_bench/measurement.py. */
class Place(
    val name: String,
    val processor: String,
    val cores: Int,
    val system: String,
    /** A virtual phone, whose processor is none that phones have. */
    val isVirtual: Boolean,
)

/** What may disturb a measurement, before it or after it. */
class State(
    val thermal: String? = null,
    val celsius: Double? = null,
    val batteryPercent: Double? = null,
    val isCharging: Boolean? = null,
)

/**
 * measurement.json as `device_bench/measurement.schema.json` describes it.
 *
 * @param reasons why the figures may not be used, as far as only the app knows; device_bench judges them again
 * @param peakResidentBytes of the whole process, so it is told only where one program ran
 * @param made when, and by which version of the app
 */
fun measurement(
    place: Place,
    before: State,
    after: State,
    request: Request,
    timed: List<Timed>,
    peakResidentBytes: Long?,
    reasons: List<String>,
    made: Map<String, String>,
): Json {
    val peak = peakResidentBytes.takeIf { timed.size == 1 }
    return members(
        "format" to number(1),
        "place" to
            members(
                "kind" to text("adb"),
                "name" to text(place.name),
                "emulated" to Json.Flag(false),
                "trend_only" to Json.Flag(place.isVirtual),
                "processor" to text(place.processor),
                "cores" to number(place.cores),
                "system" to text(place.system),
            ),
        "before" to state(before),
        "after" to state(after),
        "protocol" to
            members(
                "metric" to text("latency"),
                "mode" to text(request.plan.mode),
                "warmup" to number(request.plan.warmup),
                "runs" to number(request.plan.runs),
                "seconds" to Json.Number(request.plan.seconds.toString()),
                "queries" to text(request.queries.source),
                "threads" to number(request.threads),
                "interleaved" to Json.Flag(true),
                "processes" to text("app"),
            ),
        "programs" to Json.Items(timed.map { measured(it, request.threads, peak) }),
        "validity" to
            members("valid" to Json.Flag(reasons.isEmpty()), "reasons" to Json.Items(reasons.map(::text))),
        "made" to Json.Members(made.mapValues { text(it.value) }),
    )
}

/**
 * The file appears whole or not at all.
 *
 * @throws IOException where it cannot be written
 */
fun writeWhole(file: File, content: String) {
    val part = File(file.parentFile, ".${file.name}.part")
    part.writeText(content)
    if (!part.renameTo(file)) throw IOException("$part cannot be renamed")
}

private fun state(state: State): Json =
    members(
        "thermal" to state.thermal?.let(::text),
        "temperature_celsius" to state.celsius?.let { Json.Number("$it") },
        "battery_percent" to state.batteryPercent?.let { Json.Number("$it") },
        "charging" to state.isCharging?.let { Json.Flag(it) },
    )

private fun measured(timed: Timed, threads: Int, peakResidentBytes: Long?): Json {
    val bundle = timed.contender.bundle
    val manifest = bundle.folder.open("manifest.json").use { it.readBytes() }
    val told = readJson(manifest)
    val files = told["files"]?.members.orEmpty()
    val program = files[bundle.program]
    val sizes = files.values.mapNotNull { it["size_bytes"]?.whole?.toLong() }
    val lengths = timed.runs.map { it.length }
    return members(
        "role" to text(timed.contender.role),
        "name" to text(bundle.name),
        "target" to text(bundle.target),
        "precision" to
            (told["precision"] ?: throw BenchmarkRefused("${bundle.name} was made before bundles said their precision")),
        "random_weights" to (told["random_weights"] ?: Json.Flag(false)),
        "parameters" to told["parameters"],
        "bundle_seal" to text(bundle.seal),
        "program_sha256" to
            (program?.get("sha256") ?: throw BenchmarkRefused("${bundle.name} is a folder, which no runtime here takes")),
        "runner" to text("app"),
        "runtime" to text(timed.runtime),
        "threads" to members("asked" to text("$threads"), "got" to Json.Null),
        "delegate" to members("asked" to text("xnnpack"), "got" to (timed.delegate?.let(::text) ?: Json.Null)),
        "footprint" to
            members("program_bytes" to program["size_bytes"], "bundle_bytes" to number(sizes.sum() + manifest.size)),
        "load_ns" to Json.Items(listOf(number(timed.load))),
        "first_ns" to Json.Items(listOf(number(timed.first))),
        "samples_ns" to Json.Items(timed.runs.map { number(it.nanoseconds) }),
        "lengths" to Json.Items(lengths.map { number(it) }),
        "peak_resident_bytes" to peakResidentBytes?.let { number(it) },
        "multiply_adds" to multiplyAdds(told["multiply_adds"], lengths)?.let { number(it) },
    )
}

/** Of one inference, mean over windows that ran at these lengths: per token · seq + per pair · seq² + per window. */
internal fun multiplyAdds(told: Json?, lengths: List<Int>): Long? {
    fun factor(key: String): Long? = (told?.get(key) as? Json.Number)?.digits?.toLongOrNull()
    val perToken = factor("per_token") ?: return null
    val perPair = factor("per_pair") ?: return null
    val all = lengths.sumOf { perToken * it + perPair * it * it + (factor("per_window") ?: 0) }
    return Math.round(all.toDouble() / lengths.size)
}

/** Without those that are null: the schema has defaults for them. */
private fun members(vararg pairs: Pair<String, Json?>): Json =
    Json.Members(pairs.mapNotNull { (key, value) -> value?.let { key to it } }.toMap())

private fun text(value: String): Json = Json.Text(value)

private fun number(value: Number): Json = Json.Number("$value")
