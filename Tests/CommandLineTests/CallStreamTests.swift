import Foundation
import MastProcesses
import Testing

/// A stream's requests leave as they come, and its answers are printed as they come.
@Suite struct CallStreamTests {
    @Test func aChatAnswersEachLineBeforeTheNextIsWritten() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let chat = try Dialogue(program, ["call", server.address, "echo.v1.Echo/chat", "-d", "@-"])
        for number in 1...3 {
            await chat.write("{\"text\":\"line \(number)\"}\n")
            #expect(await chat.line() == "{\"number\":\(number),\"text\":\"line \(number)\"}")
        }
        // Not whole yet, and then whole with the end of the input.
        await chat.write("{\"text\":")
        await chat.write("\"last\"}")
        #expect(await chat.line() == #"{"number":4,"text":"last"}"#)
        chat.closeInput()
        #expect(await chat.line() == nil)
        #expect(await chat.end() == 0)
        #expect(await server.stop() == 0)
    }

    @Test func badInputInTheMiddleEndsTheCallAndSaysWhere() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let result = try await program.run("call", server.address, "echo.v1.Echo/chat", "-d", "@-", input: "{\"text\":\"a\"}\n{\"text\":}\n{\"text\":\"c\"}\n")
        #expect(result.status == 65)
        #expect(result.errors.contains("standard input (document 2) is not JSON"), "\(result.errors)")
        #expect(await server.stop() == 0)
    }

    @Test func anInterruptedChatEndsThoughItsInputDoesNot() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let chat = try Dialogue(program, ["call", server.address, "echo.v1.Echo/chat", "-d", "@-"])
        await chat.write("{\"text\":\"a\"}\n")
        #expect(await chat.line() != nil)
        chat.child.send(SIGINT)
        #expect(await chat.end() == 130)
        // A server that ends the call does so, too.
        let sum = try Dialogue(program, ["call", server.address, "echo.v1.Echo/sum", "-d", "@-"])
        await sum.write("{\"value\":9223372036854775807}{\"value\":1}")
        #expect(await sum.end() == 111)
        #expect(await server.stop() == 0)
    }

    @Test func aServersStopIsNotItsCallersDoing() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0", "--grace", "100ms"])
        let chat = try Dialogue(program, ["call", server.address, "echo.v1.Echo/chat", "-d", "@-"])
        await chat.write("{\"text\":\"a\"}\n")
        #expect(await chat.line() != nil)
        #expect(await server.stop() == 0)
        #expect(await chat.end() == 114)
    }

    @Test func aFieldThatTheTypeDoesNotHaveIsRefusedWithTheOneThatWasMeant() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let refused = try await program.run("call", server.address, "echo.v1.Echo/count", "-d", #"{"to":2,"form":1}"#)
        #expect(refused.status == 103 && refused.output.isEmpty)
        #expect(refused.errors.contains("has no field form; did you mean from?"), "\(refused.errors)")
        // A type without fields has none; and nothing was drawn.
        let none = try await program.run("call", server.address, "echo.v1.Echo/draw", "-d", #"{"amount":5}"#)
        #expect(none.status == 103 && none.errors.contains("it has none"), "\(none.errors)")
        #expect(try await program.run("call", server.address, "echo.v1.Echo/draw").object()["number"] as? Int == 1)
        let load = try await program.run("bench", server.address, "echo.v1.Echo/say", "-n", "2", "-d", #"{"txt":"a"}"#)
        #expect(load.status == 103 && load.errors.contains("did you mean text?") && load.output.isEmpty, "\(load.errors)")
        let allowed = try await program.run("call", server.address, "echo.v1.Echo/count", "-d", #"{"to":1,"form":1}"#, "--allow-unknown-fields", "--emit-defaults")
        #expect(allowed.output == "{\"padding\":null,\"value\":1}\n", "\(allowed.errors)")
        #expect(await server.stop() == 0)
    }

    @Test func answersGoToAFileThatOnlyAnAnswerEmpties() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let file = program.path("answers")
        try Data("before".utf8).write(to: URL(fileURLWithPath: file))
        func text() throws -> String { String(decoding: try Data(contentsOf: URL(fileURLWithPath: file)), as: UTF8.self) }
        #expect(try await program.run("call", server.address, "echo.v1.Echo/nothing", "-o", file).status == 112)
        #expect(try text() == "before")
        let counted = try await program.run("call", server.address, "echo.v1.Echo/count", "-d", #"{"to":2}"#, "-o", file)
        #expect(counted.status == 0 && counted.output.isEmpty)
        #expect(try text() == "{\"value\":1}\n{\"value\":2}\n")
        #expect(try await program.run("call", server.address, "echo.v1.Echo/count", "-d", #"{"to":2}"#, "-o", "/dev/full").status == 69)
        #expect(try await program.run("call", server.address, "echo.v1.Echo/count", "-o", file, "--json").status == 64)
        #expect(await server.stop() == 0)
    }

    @Test func describeShowsAllOfOneServiceOrOne() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let all = try await program.run("describe", server.address, "--json").object()["methods"] as? [[String: Any]] ?? []
        let own = try await program.run("describe", server.address, "echo.v1.Echo", "--json").object()["methods"] as? [[String: Any]] ?? []
        #expect(own.count == 6 && own.allSatisfy { $0["requestTemplate"] != nil } && all.count > own.count)
        #expect(try await program.run("describe", server.address, "echo.v1.Echo/say", "--template").output == "{\"text\":\"\"}\n")
        let missing = try await program.run("describe", server.address, "echo.v1.Echo/sya")
        #expect(try await program.run("call", server.address, "echo.v1.Echo/sya").errors.contains("did you mean echo.v1.Echo/say?"))
        #expect(missing.status == 105 && missing.errors.contains("did you mean echo.v1.Echo/say?"), "\(missing.errors)")
        #expect(try await program.run("describe", server.address, "echo.v1.Eco").errors.contains("did you mean echo.v1.Echo?"))
        #expect(try await program.run("describe", server.address, "--template").status == 64)
        #expect(await server.stop() == 0)
    }

    @Test func healthIsAnExitCode() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let well = try await program.run("health", server.address, "--json")
        #expect(try well.status == 0 && well.object()["serving"] as? Bool == true)
        let watch = try Dialogue(program, ["health", server.address, "--watch", "--every", "50ms"])
        #expect(await watch.line()?.hasSuffix("\(server.address) serves") == true)
        #expect(await server.stop() == 0)
        #expect(await watch.line()?.contains(" does not serve: ") == true)
        watch.child.send(SIGINT)
        #expect(await watch.end() == 69)
        let gone = try await program.run("health", server.address, "-t", "300ms")
        #expect(gone.status == 69 && gone.output.contains("does not serve"), "\(gone.output)\(gone.errors)")
    }
}

/// A program that is written to and read from line by line.
private final class Dialogue: Sendable {
    let child: ChildProcess

    init(_ program: Program, _ arguments: [String]) throws {
        child = try program.start(arguments, input: .pipe, output: .pipe, errors: .file(program.path("\(UUID().uuidString).log")))
    }

    func write(_ text: String) async { _ = await child.input?.send(Array(text.utf8)) }
    func closeInput() { child.input?.close() }
    /// nil at the end.
    func line() async -> String? { await child.output?.line(within: .seconds(60)) }

    func end() async -> Int32? {
        guard let ending = await child.ending(within: .seconds(60)) else {
            child.kill()
            return nil
        }
        return ending.code
    }
}
