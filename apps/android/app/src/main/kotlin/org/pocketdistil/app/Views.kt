package org.pocketdistil.app

import android.app.Activity
import android.view.View

/** A view of this activity's layout. */
internal inline fun <reified V : View> Activity.view(id: Int): V {
    val view: View = findViewById(id)
    return view as V
}
