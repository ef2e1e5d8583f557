pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositoriesMode = RepositoriesMode.FAIL_ON_PROJECT_REPOS
    repositories {
        google()
        mavenCentral()
    }
}

rootProject.name = "pocket"

// The layers: what a bundle is, what text becomes, how a question is asked; the runtimes, and what is measured; the app.
include(":bundle", ":text", ":ask", ":engine", ":bench", ":app")
