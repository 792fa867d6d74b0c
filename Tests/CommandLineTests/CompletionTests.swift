import Foundation
import Testing

/// The completion scripts that the program writes for shells.
@Suite struct CompletionTests {
    @Test func bashCompletesCommandsAndOptions() async throws {
        let program = try Program()
        defer { program.remove() }
        let script = try await program.run("--generate-completion-script", "bash")
        #expect(script.status == 0)
        let path = try program.write("mast.bash", Array(script.output.utf8))
        func completed(_ words: [String]) async throws -> [String] {
            let (last, before) = (words.last ?? "", words.dropLast().last ?? "")
            let list = words.map { "'\($0)'" }.joined(separator: " ")
            let ask = "source '\(path)'; COMP_WORDS=(\(list)); COMP_CWORD=\(words.count - 1); _mast mast '\(last)' '\(before)'; echo \"${COMPREPLY[@]}\""
            let result = try await program.run(["-c", ask], executable: "/bin/bash")
            #expect(result.status == 0 && result.errors.isEmpty, "\(result.errors)")
            return result.output.split(whereSeparator: \.isWhitespace).map(String.init)
        }
        #expect(try await completed(["mast", "hea"]) == ["health"])
        #expect(try await completed(["mast", "link", "sh"]).sorted() == ["shell", "show"])
        #expect(try await completed(["mast", "call", "--allow"]) == ["--allow-unknown-fields"])
    }

    @Test(arguments: ["zsh", "fish"]) func otherShellsParseTheirs(_ shell: String) async throws {
        let program = try Program()
        defer { program.remove() }
        let script = try await program.run("--generate-completion-script", shell)
        #expect(script.status == 0 && script.output.contains("allow-unknown-fields"))
        // The shells themselves are seldom installed where tests run.
        guard let path = ["/bin/", "/usr/bin/"].map({ $0 + shell }).first(where: FileManager.default.isExecutableFile) else { return }
        let file = try program.write("mast.\(shell)", Array(script.output.utf8))
        #expect(try await program.run(["-n", file], executable: path).status == 0)
    }
}
