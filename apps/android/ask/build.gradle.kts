plugins {
    alias(libs.plugins.kotlin.jvm)
}

kotlin {
    jvmToolchain(libs.versions.java.get().toInt())
    compilerOptions {
        allWarningsAsErrors = true
    }
}

dependencies {
    api(project(":text"))
    testImplementation(libs.junit)
}
