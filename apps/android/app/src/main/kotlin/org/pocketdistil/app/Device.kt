package org.pocketdistil.app

import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager
import java.io.File
import java.io.IOException
import java.text.SimpleDateFormat
import java.util.Date
import java.util.Locale
import java.util.TimeZone
import pocket.bench.Place
import pocket.bench.State as DeviceState

/** What this phone says of itself, as far as an app may know. */
class Device(private val context: Context) {
    fun place(): Place {
        val isNamed = Build.MODEL.startsWith(Build.MANUFACTURER, ignoreCase = true)
        return Place(
            name = if (isNamed) Build.MODEL else "${Build.MANUFACTURER} ${Build.MODEL}",
            processor = processor(),
            cores = Runtime.getRuntime().availableProcessors(),
            system = "Android ${Build.VERSION.RELEASE} (API ${Build.VERSION.SDK_INT})",
            isVirtual = Build.HARDWARE in listOf("goldfish", "ranchu"),
        )
    }

    fun state(): DeviceState {
        val battery = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))
        fun told(extra: String): Int? = battery?.getIntExtra(extra, -1)?.takeIf { it >= 0 }
        val scale = told(BatteryManager.EXTRA_SCALE) ?: 0
        val level = told(BatteryManager.EXTRA_LEVEL)
        return DeviceState(
            thermal = thermal(),
            celsius = told(BatteryManager.EXTRA_TEMPERATURE)?.takeIf { it > 0 }?.let { it / 10.0 },
            batteryPercent = if (level != null && scale > 0) 100.0 * level / scale else null,
            isCharging = told(BatteryManager.EXTRA_STATUS)?.let { it == BatteryManager.BATTERY_STATUS_CHARGING },
        )
    }

    /** The highest resident memory of this process so far. */
    fun peakResidentBytes(): Long? =
        try {
            val line = File("/proc/self/status").readLines().firstOrNull { it.startsWith("VmHWM:") }
            line?.filter(Char::isDigit)?.toLongOrNull()?.times(1024)
        } catch (_: IOException) {
            null
        }

    fun time(): String {
        val format = SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'Z'", Locale.ROOT)
        format.timeZone = TimeZone.getTimeZone("UTC")
        return format.format(Date())
    }

    private fun processor(): String =
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) {
            "${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL}"
        } else {
            Build.HARDWARE
        }

    private fun thermal(): String? {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) return null
        val power = context.getSystemService(PowerManager::class.java)
        return power?.currentThermalStatus?.let(THERMAL::getOrNull)
    }

    private companion object {
        /** PowerManager's THERMAL_STATUS_* by number. */
        val THERMAL = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
    }
}
