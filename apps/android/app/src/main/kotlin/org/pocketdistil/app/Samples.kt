package org.pocketdistil.app

import android.content.res.AssetManager
import pocket.bundle.Json
import pocket.bundle.readJson

/** A passage to try, and questions that it answers. */
class Sample(val title: String, val passage: String, val questions: List<String>) {
    companion object {
        /** apps/samples.json, which all apps ship. */
        fun all(assets: AssetManager): List<Sample> {
            val samples = readJson(assets.open("samples.json").use { it.readBytes() })
            return samples.items.orEmpty().map { sample ->
                fun text(key: String) = sample[key]?.text.orEmpty()
                Sample(text("title"), text("passage"), sample["questions"]?.items.orEmpty().mapNotNull(Json::text))
            }
        }
    }
}
