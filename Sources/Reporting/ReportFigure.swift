import MastCapture

/// One of a page's large figures: what it says, how far that is proved, and where a script finds the same value.
package struct ReportFigure: Sendable {
    package enum State: String, Sendable {
        case measured
        /// Bounds: the true value is this or more, this or less.
        case atLeast, atMost
        /// Told from what one end saw: likely, not proved.
        case inferred
        case unknown

        /// As a reader sees it.
        package var label: String {
            switch self {
            case .measured: "measured"
            case .atLeast: "bound: at least"
            case .atMost: "bound: at most"
            case .inferred: "told from one end"
            case .unknown: "not proved"
            }
        }
    }

    package struct Part: Sendable {
        /// A direction or a link; empty where there is nothing to tell apart.
        package var label: String
        /// The member of the command's `--json` with the same value.
        package var source: String
        /// In that member's unit; nil: not proved.
        package var value: Double?
        /// Number, a blank, unit.
        package var text: String
        package var state: State
        /// How it was found, or why it is not known.
        package var basis: String

        package init(_ label: String = "", source: String, value: Double?, text: String, state: State, basis: String) {
            (self.label, self.source, self.value, self.basis) = (label, source, value, basis)
            (self.text, self.state) = value == nil ? ("not proved", .unknown) : (text, state)
        }

        /// What is shown, a bound with its sign.
        package var shown: String {
            switch state {
            case .atLeast: "≥ " + text
            case .atMost: "≤ " + text
            case .measured, .inferred, .unknown: text
            }
        }
    }

    package var name: String
    /// The first is drawn large.
    package var parts: [Part]
    /// A line below.
    package var remark: String?

    package init(_ name: String, _ parts: [Part], remark: String? = nil) { (self.name, self.parts, self.remark) = (name, parts, remark) }

    /// A share as percent: two decimals, or as many as a small one needs.
    package static func percent(_ share: Double) -> String {
        let percent = share * 100
        return TextLayout.fixed(percent, percent == 0 ? 0 : percent < 0.01 ? 4 : percent < 10 ? 2 : 1) + " %"
    }
}
