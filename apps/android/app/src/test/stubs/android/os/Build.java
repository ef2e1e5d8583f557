// android.os.Build with what API 31 added to it, of which the app uses SOC_MANUFACTURER and SOC_MODEL.
package android.os;

public class Build {
    public static final String HARDWARE = unknown();
    public static final String MANUFACTURER = unknown();
    public static final String MODEL = unknown();
    public static final String SOC_MANUFACTURER = unknown();
    public static final String SOC_MODEL = unknown();

    public static class VERSION {
        public static final String RELEASE = unknown();
        public static final int SDK_INT = unknown().length();
    }

    public static class VERSION_CODES {
        public static final int Q = 29;
        public static final int S = 31;
    }

    private static String unknown() {
        throw new UnsupportedOperationException();
    }
}
