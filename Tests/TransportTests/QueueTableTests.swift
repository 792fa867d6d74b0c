import MastTimebase
import MastTransport
import Testing

/// Queues that share one table of members.
@Suite struct QueueTableTests {
    @Test func aMemberIsInOneQueueAtItsEnd() {
        var table = QueueTable<Int, String>()
        for member in ["a", "b", "c"] { table.append(member, to: 1) }
        #expect(table.first(of: 1) == "a" && table.count(of: 1) == 3 && table.queueCount == 1)
        table.append("a", to: 1)
        #expect(table.first(of: 1) == "b" && table.count(of: 1) == 3)
        table.append("b", to: 2)
        #expect(table.key(of: "b") == 2 && table.count(of: 1) == 2 && table.queueCount == 2 && table.count == 3)
        table.refresh("nobody")
        #expect(table.count == 3 && table.key(of: "nobody") == nil)
    }

    /// Against arrays, by what comes out when all is emptied from the front now and then.
    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func itAgreesWithPlainArrays(seed: UInt64) {
        var chance = SeededGenerator(seed: seed)
        var table = QueueTable<Int, UInt64>()
        var model = [[UInt64]](repeating: [], count: 4)
        for step in 0..<6_000 {
            let member = chance.next(below: 12)
            let key = Int(chance.next(below: 4))
            switch chance.next(below: 4) {
            case 0:
                table.remove(member)
                for index in model.indices { model[index].removeAll { $0 == member } }
            case 1:
                table.refresh(member)
                for index in model.indices where model[index].contains(member) {
                    model[index].removeAll { $0 == member }
                    model[index].append(member)
                }
            default:
                table.append(member, to: key)
                for index in model.indices { model[index].removeAll { $0 == member } }
                model[key].append(member)
            }
            if step % 50 == 49 {
                // In what order they stand shows when they leave.
                var copy = table
                for key in model.indices {
                    var order: [UInt64] = []
                    while let first = copy.first(of: key), order.count <= 12 {
                        order.append(first)
                        copy.remove(first)
                    }
                    #expect(order == model[key])
                }
                #expect(copy.count == 0 && copy.queueCount == 0)
            }
            for key in model.indices {
                guard table.first(of: key) == model[key].first, table.count(of: key) == model[key].count else {
                    Issue.record("queue \(key) at step \(step)")
                    return
                }
            }
            #expect(table.count == model.reduce(0) { $0 + $1.count })
            #expect(table.queueCount == model.count { !$0.isEmpty })
            #expect(table.key(of: member) == model.firstIndex { $0.contains(member) })
        }
    }
}
