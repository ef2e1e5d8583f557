import Accessibility

/// Says something to whoever uses VoiceOver: a result appears without the focus going there.
@MainActor
func announce(_ text: String) {
  AccessibilityNotification.Announcement(text).post()
}
