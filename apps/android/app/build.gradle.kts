plugins {
    alias(libs.plugins.android.application)
}

val samplesFolder = layout.buildDirectory.dir("samples").get().asFile

android {
    namespace = "org.pocketdistil.app"
    compileSdk = libs.versions.compileSdk.get().toInt()
    defaultConfig {
        applicationId = "org.pocketdistil.app"
        minSdk = libs.versions.minSdk.get().toInt()
        targetSdk = libs.versions.compileSdk.get().toInt()
        versionCode = 1
        versionName = "1.0"
        ndk {
            // ExecuTorch comes for these two
            abiFilters += listOf("arm64-v8a", "x86_64")
        }
    }
    compileOptions {
        sourceCompatibility = JavaVersion.toVersion(libs.versions.java.get())
        targetCompatibility = JavaVersion.toVersion(libs.versions.java.get())
    }
    androidResources {
        // int8 weights hardly shrink, and copying them out is faster
        noCompress += listOf("tflite", "pte")
    }
    sourceSets.getByName("main").assets.srcDir(samplesFolder)
}

kotlin {
    compilerOptions {
        allWarningsAsErrors = true
    }
}

dependencies {
    implementation(project(":bench"))
    implementation(project(":engine"))
}

val samples by tasks.registering(Copy::class) {
    description = "The passages that all sample apps ship."
    from(rootDir.resolve("../samples.json"))
    into(samplesFolder)
}

tasks.named("preBuild") {
    dependsOn(samples)
}
