import Foundation
import MastTimebase
import MastWasmRuntime
import Testing

@Suite("The sample applications", .needsWasmtime)
struct SampleApplicationTests {
    private func load(_ name: String) throws -> any LoadedApplication {
        let sources = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Sources/Applications")
        return try Engines.pooled.get().load(
            [UInt8](Data(contentsOf: sources.appending(path: "\(name)/\(name).wasm"))))
    }

    private func text(_ name: String, _ input: String) throws -> String {
        String(decoding: try load(name).run(Array(input.utf8)).bytes, as: UTF8.self)
    }

    private func complaint(_ name: String, _ input: [UInt8]) throws -> String? {
        let application = try load(name)
        let trap = trap { try application.run(input) }
        return trap?.kind == .applicationError ? trap?.message : nil
    }

    @Test(arguments: [
        ("a.c\nabc\nxaxc\nac\naac\n", "1:abc\n2:xaxc\n4:aac\n# 3 of 4 lines match\n"),
        ("-i ERR[a-z]*: .*[0-9]+$\r\nok 1\r\nError: x 12\r\nerr: none\r\n", "2:Error: x 12\n# 1 of 3 lines match\n"),
        ("-i -v ^ab*c$\nABBC\nac\nacx", "3:acx\n# 1 of 3 lines match\n"),
        ("-F a.c\nabc\na.c\n", "2:a.c\n# 1 of 2 lines match\n"),
        ("-c [^a]\naaa\naba\n\n", "# 1 of 3 lines match\n"),
        ("colou?r\ncolor\ncolour\ncolouur\n", "1:color\n2:colour\n# 2 of 3 lines match\n"),
        ("x*\nanything\n", "1:anything\n# 1 of 1 lines match\n"),
        ("^$\n\na\n", "1:\n# 1 of 2 lines match\n"),
        ("größe\nDie Größe\nDie größe\n", "2:Die größe\n# 1 of 2 lines match\n"),
    ])
    func `textsearch finds lines`(input: String, expected: String) throws {
        #expect(try text("textsearch", input) == expected)
    }

    @Test func `textsearch takes time in proportion to the text whatever the pattern`() throws {
        let application = try load("textsearch")
        let line = String(repeating: "a", count: 2000)
        let input = Array(("a*a*a*a*a*a*a*a*a*a*a*a*b\n" + line).utf8)
        #expect(try application.run(input, limits: RunLimits(fuel: 10_000_000)).bytes == Array("# 0 of 1 lines match\n".utf8))
    }

    @Test func `answer gives as many bytes as asked for, which depend on all of the question`() throws {
        let application = try load("answer")
        let answer = { (input: String) in try application.run(Array(input.utf8)).bytes }
        #expect(try answer("0\n").isEmpty)
        #expect(try answer("5\nabc").count == 5 && answer("100000\n").count == 100_000)
        #expect(try answer("8\nabc") == answer("8\nabc") && answer("8\nabc") != answer("8\nabd"))
        for wrong in ["", "\n", "x\n", "5", "16777217\n", "99999999999999999999\n"] {
            #expect(try complaint("answer", Array(wrong.utf8))?.isEmpty == false, "\(wrong)")
        }
    }

    @Test(arguments: ["", "\n", "-x a\n", "[a\nb", "*\nb", "a\\\nb", "[z-a]\nb", String(repeating: "a", count: 64) + "\n"])
    func `textsearch explains what is wrong with a pattern`(input: String) throws {
        #expect(try complaint("textsearch", Array(input.utf8))?.isEmpty == false)
    }

    @Test(arguments: [
        (
            "A,B\nA,B,10\nA>C,1.5\nC,B,2.25\n# far\n\nB>D,1\n",
            #"{"cost":3.75,"edges":4,"nodes":4,"path":["A","C","B"],"reachable":true}"#
        ),
        ("D,A\nA,B,10\nB>D,1\n", #"{"edges":2,"nodes":3,"reachable":false}"#),
        ("X,X\n", #"{"cost":0,"edges":0,"nodes":1,"path":["X"],"reachable":true}"#),
        (
            "New York , \"B\"\r\n New York,\"B\" , 0.005\r\n",
            #"{"cost":0.005,"edges":1,"nodes":2,"path":["New York","\"B\""],"reachable":true}"#
        ),
    ])
    func `route finds the cheapest path`(input: String, expected: String) throws {
        #expect(try text("route", input) == expected + "\n")
    }

    @Test func `route agrees with an exhaustive relaxation`() throws {
        var generator = SeededGenerator(seed: 5)
        let application = try load("route")
        for _ in 0..<30 {
            let nodes = 12
            var costs = [Int](repeating: .max, count: nodes)
            var edges: [(Int, Int, Int)] = []
            for _ in 0..<25 {
                edges.append(
                    (Int(generator.next() % 12), Int(generator.next() % 12), 1 + Int(generator.next() % 50)))
            }
            costs[0] = 0
            for _ in 0..<nodes {
                for (a, b, cost) in edges where costs[a] != .max { costs[b] = min(costs[b], costs[a] + cost) }
            }
            let input = "n0,n1\n" + edges.map { "n\($0.0)>n\($0.1),\($0.2)\n" }.joined()
            let output = String(decoding: try application.run(Array(input.utf8)).bytes, as: UTF8.self)
            if costs[1] == .max {
                #expect(output.contains(#""reachable":false"#))
            } else {
                #expect(output.hasPrefix("{\"cost\":\(costs[1]),"))
            }
        }
    }

    @Test func `route names the line that it cannot read`() throws {
        #expect(try complaint("route", Array("A,B\nA,B,1\nA;B\n".utf8))?.hasPrefix("line 3: ") == true)
        #expect(try complaint("route", Array("A,B\nA,B,-1\n".utf8))?.hasPrefix("line 2: ") == true)
        #expect(try complaint("route", Array("A,B\nA,B,99999999999999999999\n".utf8))?.hasPrefix("line 2: ") == true)
        #expect(try complaint("route", []) == "the first line must be: FROM,TO")
    }

    @Test func `The modules that the command line tool carries are these`() throws {
        let sources = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Sources")
        let carried = try String(contentsOf: sources.appending(path: "CommandLine/SampleApplications.swift"), encoding: .utf8)
            .filter { !$0.isWhitespace && $0 != "\\" }
        for name in ["textsearch", "imagestats", "route"] {
            let module = try Data(contentsOf: sources.appending(path: "Applications/\(name)/\(name).wasm"))
            #expect(carried.contains("\"\"\"\(module.base64EncodedString())\"\"\""))
        }
    }

    /// Images from an encoder of their own, with the statistics computed from the pixels before encoding.
    static let images: [(base64: String, expected: String)] = [
        (
            "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAGCAIAAABxZ0isAAAAOklEQVR42mNkkLdjxwZYeHl5sUowSFlGKDrEa7in6fvlmoWW2MZUuyQ3"
                + "eWd1MvHiAAwmwUXWUZVOiQ2eGe0BOaqECgAAABdJREFU+X3hZVPjauektixmVjd348IGADwjFht8gs/gAAAAAElFTkSuQmCC",
            #"{"bitDepth":8,"channels":[{"histogram":[4,5,9,10,9,7,3,1,0,0,0,0,0,0,0,0],"max":114,"mean":57.00,"min":0,"#
                + #""name":"red"},{"histogram":[0,1,3,5,10,9,10,6,3,1,0,0,0,0,0,0],"max":145,"mean":88.00,"min":31,"#
                + #""name":"green"},{"histogram":[0,0,0,1,3,6,10,9,10,5,3,1,0,0,0,0],"max":176,"mean":119.00,"min":62,"#
                + #""name":"blue"}],"format":"png","height":6,"width":8}"#
        ),
        (
            "iVBORw0KGgoAAAANSUhEUgAAAAkAAAAHAgMAAAHQ8r9lAAAADFBMVEUcLiu4Vp2AbBJR3Mmrb+ElAAAAAnRSTlMKyBnDbzAAAAALSURB"
                + "VHjaY2FgYmBhYF7AOv3z5QAAAB5JREFUwsDU0cAARHeZZjEvAmI/dUnmvd56LFkMnwCAfwioQpTiHwAAAABJRU5ErkJggg==",
            #"{"bitDepth":2,"channels":[{"histogram":[0,16,0,0,0,15,0,0,16,0,0,16,0,0,0,0],"max":184,"mean":105.63,"#
                + #""min":28,"name":"red"},{"histogram":[0,0,16,0,0,16,16,0,0,0,0,0,0,15,0,0],"max":220,"mean":113.33,"#
                + #""min":46,"name":"green"},{"histogram":[0,16,16,0,0,0,0,0,0,16,0,0,15,0,0,0],"max":201,"mean":103.22,"#
                + #""min":18,"name":"blue"},{"histogram":[16,0,0,0,0,0,0,0,0,0,0,0,16,0,0,31],"max":255,"mean":178.81,"#
                + #""min":10,"name":"alpha"}],"format":"png","height":7,"width":9}"#
        ),
    ]

    @Test(arguments: images)
    func `imagestats reads PNG`(base64: String, expected: String) throws {
        let image = [UInt8](try #require(Data(base64Encoded: base64)))
        let application = try load("imagestats")
        #expect(String(decoding: try application.run(image).bytes, as: UTF8.self) == expected + "\n")
        // Cut anywhere before the image data ends, it complains; it never traps.
        for count in 0..<(image.count - 12) {
            #expect(trap { try application.run(Array(image[..<count])) }?.kind == .applicationError)
        }
    }

    @Test func `imagestats never traps on a damaged PNG`() throws {
        let application = try load("imagestats")
        let image = [UInt8](try #require(Data(base64Encoded: Self.images[0].base64)))
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<2000 {
            var damaged = image
            for _ in 0..<(1 + generator.next() % 4) {
                damaged[Int(generator.next() % UInt64(damaged.count))] = UInt8(truncatingIfNeeded: generator.next())
            }
            if let trap = trap({ try application.run(damaged) }) { #expect(trap.kind == .applicationError) }
        }
    }

    @Test func `imagestats reads PGM, PPM and BMP`() throws {
        let application = try load("imagestats")
        let pgm = Array("P5 # four\n2 2\n3\n".utf8) + [0, 1, 2, 3]
        let grey = String(decoding: try application.run(pgm).bytes, as: UTF8.self)
        #expect(grey.contains(#""max":255,"mean":127.50,"min":0,"name":"grey""#))
        let ppm = Array("P6 1 1 255\n".utf8) + [16, 32, 48]
        let expected = ["16", "32", "48"]
        let colour = String(decoding: try application.run(ppm).bytes, as: UTF8.self)
        for (value, name) in zip(expected, ["red", "green", "blue"]) {
            #expect(colour.contains(#""max":\#(value),"mean":\#(value).00,"min":\#(value),"name":"\#(name)""#))
        }
        var bmp: [UInt8] = Array("BM".utf8) + [58, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0]
        bmp += [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 24, 0] + [UInt8](repeating: 0, count: 24) + [48, 32, 16, 0]
        let bitmap = String(decoding: try application.run(bmp).bytes, as: UTF8.self)
        #expect(bitmap == colour.replacing("ppm", with: "bmp"))
    }
}
