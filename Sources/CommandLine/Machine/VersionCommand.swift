import ArgumentParser
import MastWasmRuntime

/// The program's version.
enum MastVersion {
    static let text = "0.1.0"
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Show versions.")

    @OptionGroup var output: OutputOptions

    private struct Report: Encodable {
        var version, swift, platform, wasmtime: String
    }

    func run() throws {
        let report = Report(version: MastVersion.text, swift: Self.swift, platform: Self.platform, wasmtime: WasmtimeLibrary.version)
        if output.json {
            try Output.json(report)
        } else {
            Output.line("mast \(report.version) (\(report.platform), Swift \(report.swift), wasmtime \(report.wasmtime))")
        }
    }

    private static var swift: String {
        #if compiler(>=6.4)
            "6.4 or later"
        #elseif compiler(>=6.3)
            "6.3"
        #else
            "6.2"
        #endif
    }

    private static var platform: String {
        #if os(Linux)
            let system = "linux"
        #elseif os(macOS)
            let system = "macos"
        #else
            let system = "other"
        #endif
        #if arch(x86_64)
            return system + "-x86_64"
        #elseif arch(arm64)
            return system + "-arm64"
        #else
            return system
        #endif
    }
}
