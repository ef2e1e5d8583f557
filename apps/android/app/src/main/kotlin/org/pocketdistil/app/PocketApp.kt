package org.pocketdistil.app

import android.app.Application

class PocketApp : Application() {
    /** Of the process and not of an activity, so that turning the phone loses neither model nor answer. */
    val questions by lazy { Questions(this) }
}
