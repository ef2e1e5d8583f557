plugins {
    alias(libs.plugins.android.library)
}

android {
    namespace = "pocket.engine"
    compileSdk = libs.versions.compileSdk.get().toInt()
    defaultConfig {
        minSdk = libs.versions.minSdk.get().toInt()
    }
    compileOptions {
        sourceCompatibility = JavaVersion.toVersion(libs.versions.java.get())
        targetCompatibility = JavaVersion.toVersion(libs.versions.java.get())
    }
}

kotlin {
    compilerOptions {
        allWarningsAsErrors = true
    }
}

// An app whose bundles are all for one target drops the other runtime: a line here, a line in Runtimes.kt, and its file.
dependencies {
    api(project(":ask"))
    implementation(libs.executorch)
    implementation(libs.litert)
}
