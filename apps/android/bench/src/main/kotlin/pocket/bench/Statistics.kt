package pocket.bench

/** The value below which a share (0 to 1) of the samples lie, linear between neighbours (Hyndman type 7). */
fun percentile(samples: List<Long>, share: Double): Double {
    val sorted = samples.sorted()
    val place = share * (sorted.size - 1)
    val below = place.toInt()
    val above = minOf(below + 1, sorted.lastIndex)
    return sorted[below] + (place - below) * (sorted[above] - sorted[below])
}
