import Foundation
import MastCapture
import MastTimebase
import Synchronization

/// The lowest row of the terminal, kept for one line that is redrawn in place while another program writes above it.
///
/// Only on standard error, only if it is a terminal, and only while that works line by line: an editor, a pager or a shell at
/// its prompt rules over the whole screen. Whoever draws never makes the one wait who says what to draw.
final class StatusLine: Sendable {
    private let text: @Sendable () -> String
    private let isEnding = Atomic<Bool>(false)
    private let wakes = DispatchSemaphore(value: 0)
    private let hasEnded = DispatchSemaphore(value: 0)

    /// Four times a second.
    private static let pauseMilliseconds = 250

    /// Nil where there is no terminal to draw on.
    init?(_ text: @escaping @Sendable () -> String) {
        guard isatty(2) == 1, Self.rows > 2 else { return nil }
        self.text = text
        // The program has the terminal; what is drawn beside it must not stop this one.
        signal(SIGTTOU, SIG_IGN)
        Thread.detachNewThread { self.draw() }
    }

    /// Gives the row back.
    func end() {
        isEnding.store(true, ordering: .relaxed)
        wakes.signal()
        // Who has stopped the terminal's output shall not keep this program.
        _ = hasEnded.wait(timeout: .now() + 1)
    }

    private func draw() {
        var rows = 0
        while true {
            _ = wakes.wait(timeout: .now() + .milliseconds(Self.pauseMilliseconds))
            if isEnding.load(ordering: .relaxed) { break }
            guard Self.isLineByLine else {
                // The program that came resets what it needs; ours is left alone, but for the rows that were kept from it.
                if rows > 0 { Self.write("\u{1B}7\u{1B}[r\u{1B}8") }
                rows = 0
                continue
            }
            let now = Self.rows
            guard now > 2 else { continue }
            if now != rows {
                // A free row below the cursor, then everything above it scrolls by itself.
                Self.write("\n\u{1B}7\u{1B}[1;\(now - 1)r\u{1B}8\u{1B}[1A")
                rows = now
            }
            Self.write("\u{1B}7\u{1B}[\(now);1H\u{1B}[2K\(text().printable(atMost: Self.columns - 1))\u{1B}8")
        }
        if rows > 0 { Self.write("\u{1B}7\u{1B}[r\u{1B}[\(rows);1H\u{1B}[2K\u{1B}8") }
        hasEnded.signal()
    }

    private static var isLineByLine: Bool {
        var mode = termios()
        return tcgetattr(2, &mode) == 0 && mode.c_lflag & tcflag_t(ICANON) != 0
    }

    private static var size: winsize {
        var size = winsize()
        _ = ioctl(2, UInt(TIOCGWINSZ), &size)
        return size
    }

    private static var rows: Int { Int(size.ws_row) }
    private static var columns: Int { max(20, Int(size.ws_col)) }

    private static func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Foundation.write(2, bytes, bytes.count)
    }
}
