import MastTimebase
import Testing

@Suite struct PrintableTextTests {
    @Test("Text of any language stays as it is", arguments: ["station-a", "héllo wörld", "日本語", "Ωμέγα 😀", "a\\b", ""])
    func ordinary(_ text: String) { #expect(text.printable() == text) }

    @Test(
        "What steers a terminal, breaks a line or turns the direction of writing is written out",
        arguments: [
            ("a\u{1B}[2Jb", "a\\u{1B}[2Jb"), ("a\nb", "a\\u{A}b"), ("a\r\nb", "a\\u{D}\\u{A}b"), ("\u{0}\u{7F}", "\\u{0}\\u{7F}"),
            ("a\u{9B}31mb", "a\\u{9B}31mb"), ("gpj.\u{202E}exe", "gpj.\\u{202E}exe"), ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
            ("zero\u{200B}width", "zero\\u{200B}width"), ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"), ("\u{E000}\u{FEFF}", "\\u{E000}\\u{FEFF}"),
        ])
    func steering(_ text: String, _ shown: String) { #expect(text.printable() == shown) }

    @Test("Bytes that are no text come out as replacement characters, which are shown")
    func invalid() { #expect(String(decoding: [0x61, 0xFF, 0xC0, 0x80], as: UTF8.self).printable() == "a\u{FFFD}\u{FFFD}\u{FFFD}") }

    @Test("A text longer than the limit is cut, and says so")
    func long() {
        #expect(String(repeating: "x", count: 1_000_000).printable(atMost: 10) == "xxxxxxxxxx…")
        #expect("0123456789".printable(atMost: 10) == "0123456789")
        // Four bytes each, so the text has more bytes than the limit and not more scalars.
        #expect("😀😀😀".printable(atMost: 3) == "😀😀😀")
    }

    @Test("Line feeds stay where the text is several lines; nothing else of their kind does")
    func lines() { #expect("a\nb\r\u{2028}".printable(keepingLines: true) == "a\nb\\u{D}\\u{2028}") }
}
