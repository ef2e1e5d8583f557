// android.os.PowerManager with what API 29 added to it, which the app uses.
package android.os;

public final class PowerManager {
    public int getCurrentThermalStatus() {
        throw new UnsupportedOperationException();
    }
}
