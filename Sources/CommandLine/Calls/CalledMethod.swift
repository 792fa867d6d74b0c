import ArgumentParser
import Foundation
import MastCalls

/// Which method of which server is called, and with what metadata.
struct CalledMethod: ParsableArguments {
    @Argument(help: ArgumentHelp("The server, as host:port (port \(DefaultPort.calls) if left out).", valueName: "host"))
    var host: String

    @Argument(help: ArgumentHelp("Such as echo.v1.Echo/say.", valueName: "service/method"))
    var method: String

    @Option(name: [.customShort("H"), .long], help: ArgumentHelp("Metadata, as name:value; may be repeated.", valueName: "name:value"))
    var header: [String] = []

    func validate() throws {
        guard method.split(separator: "/", omittingEmptySubsequences: false).count == 2 else {
            throw ValidationError("'\(method)' is not SERVICE/METHOD, such as echo.v1.Echo/say")
        }
        for text in header where text.firstIndex(of: ":").map({ $0 == text.startIndex }) ?? true {
            throw ValidationError("'\(text)' is not NAME:VALUE")
        }
    }

    var metadata: Metadata {
        var metadata: Metadata = [:]
        for text in header {
            guard let colon = text.firstIndex(of: ":") else { continue }
            metadata.add(String(text[..<colon]), text[text.index(after: colon)...].trimmingCharacters(in: .whitespaces))
        }
        return metadata
    }
}
