# What python3 runs in tools/bench malloc, with PYTHONMALLOC=malloc: objects of many kinds with short and long lives.


class Node:
    __slots__ = ("name", "children", "weight")

    def __init__(self, name, weight):
        self.name = name
        self.children = []
        self.weight = weight


def tree(depth, name):
    node = Node(name, depth)
    if depth > 0:
        node.children = [tree(depth - 1, f"{name}.{i}") for i in range(4)]
    return node


def weight(node):
    return node.weight + len(node.name) + sum(weight(child) for child in node.children)


def word_counts(rounds):
    counts = {}
    for i in range(rounds):
        word = "w" + str(i * 7919 % 10007)
        counts.setdefault(word, []).append((i, float(i)))
        if i % 5 == 0:
            counts.pop("w" + str(i * 31 % 10007), None)
    return sum(len(entries) for entries in counts.values())


total = 0
for turn in range(5):
    total += weight(tree(8, "root"))
    total += word_counts(300_000)
    total += len(",".join(str(number) for number in range(200_000)).split(","))
print(total)
