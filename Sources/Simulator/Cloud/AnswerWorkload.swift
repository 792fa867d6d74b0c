import MastCloudCore
import MastTimebase

/// Questions to the sample application `answer`, which answers with as many bytes as it is asked for.
package enum AnswerWorkload {
    package static let application = "answer"

    /// A question of about `up` bytes that is answered with `down` bytes.
    package static func question(up: Int, down: Int, at: Interval, chance: inout SeededGenerator) -> RunQuestion {
        RunQuestion(runID: RunID(using: &chance), at: at, seed: chance.next(), up: up, down: max(0, down))
    }

    static func input(seed: UInt64, up: Int, down: Int) -> [UInt8] {
        var chance = SeededGenerator(seed: seed, stream: "answer.input")
        var input = Array("\(down)\n".utf8)
        input.reserveCapacity(up)
        // As incompressible as what applications send.
        while input.count < up {
            let word = chance.next()
            for shift in stride(from: 0, to: 64, by: 8) where input.count < up { input.append(UInt8(truncatingIfNeeded: word >> UInt64(shift))) }
        }
        return input
    }

    /// By the definition of the application rather than by its code.
    static func answer(to input: [UInt8], bytes: Int) -> [UInt8] {
        var state: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in input { state = (state ^ UInt64(byte)) &* 0x100_0000_01B3 }
        var output: [UInt8] = []
        output.reserveCapacity(bytes + 4)
        while output.count < bytes {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            for shift in stride(from: 32, to: 64, by: 8) { output.append(UInt8(truncatingIfNeeded: state >> UInt64(shift))) }
        }
        return Array(output.prefix(bytes))
    }
}
