"""Sizes of one ranking model, and where each of its embedding vectors comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = [
    "REPRESENTATIONS",
    "Interaction",
    "ModelShape",
    "Representation",
    "Source",
    "layer_macs",
]

Interaction = Literal["dot", "cat", "product"]
"""How vectors become inputs: pairwise dot products behind the dense vector, all vectors side by
side, or NeuMF's products beside the vectors of its MLP (`golden.neumf_device`)."""
Source = Literal["table", "dhe"]
"""Where an embedding vector comes from: a row of a table, or hashes and a decoder."""

Representation = Literal["table", "dhe", "select", "hybrid"]
"""Tables only, DHE only, one of the two per feature, both for each feature."""
REPRESENTATIONS: tuple[Representation, ...] = ("table", "dhe", "select", "hybrid")


TAIL_UNIT = 16
"""Values that the device copies at once."""


def layer_macs(sizes: tuple[int, ...]) -> int:
    """Multiply-accumulates of an MLP of these sizes (its input first) for one item."""
    return sum(inputs * outputs for inputs, outputs in zip(sizes, sizes[1:], strict=False))


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Sizes of one ranking model.

    Raises
    ------
    ValueError
        A size is not positive, or the sizes contradict each other; names field and value.
    """

    name: str
    width: int
    """d: length of an embedding vector and of the dense vector."""
    bottom: tuple[int, ...]
    """Sizes of the bottom MLP with its input: (13, 64, 4). The last one equals `width`. Empty with
    `product`: there are no dense features."""
    top: tuple[int, ...]
    """Output sizes of the top MLP, without its input: (64, 1). The last one is 1, the logit."""
    rows: tuple[int, ...]
    """Ids of each sparse feature: rows of its table where it has one."""
    interaction: Interaction = "dot"
    embeddings: tuple[tuple[Source, int], ...] = ()
    """(source, feature) of each embedding vector, in the order of the interaction. Default: the
    table of every feature. A feature may have two vectors, one of each source."""
    decoders: tuple[tuple[int, ...], ...] = ()
    """By feature: hashes, then the output sizes of the decoder's layers; () where the feature has
    no DHE vector. Default: none."""
    bags: tuple[int, ...] = ()
    """Most ids of an item, by feature; rows of several ids are summed. Default: one each."""
    products: int = 0
    """With `product`: so many pairs of embedding vectors, the first ones, are multiplied element by
    element (0 with 1, 2 with 3, ...). The products are inputs of the last layer."""
    tail: int = 0
    """With `product`: values of each of the last two vectors that are inputs of the top MLP, a
    multiple of 16; of the other vectors behind the products all are."""

    def __post_init__(self) -> None:
        for field in ("bottom", "top", "rows"):
            sizes = tuple(int(size) for size in getattr(self, field))
            object.__setattr__(self, field, sizes)
            if any(size < 1 for size in sizes):
                raise ValueError(f"{field} of {self.name} must be positive sizes, not {sizes}")
        if self.interaction == "product":
            self._check_products()
        elif self.products or self.tail:
            raise ValueError(f"products and tail of {self.name} go with the interaction 'product'")
        elif len(self.bottom) < 2 or self.bottom[-1] != self.width:
            raise ValueError(
                f"bottom of {self.name} must end in the vector width {self.width}, "
                f"not {self.bottom}"
            )
        if not self.top or self.top[-1] != 1:
            raise ValueError(f"top of {self.name} must end in 1 (the logit), not {self.top}")
        if not self.rows:
            raise ValueError(f"rows of {self.name} must name at least one table")
        if self.interaction not in get_args(Interaction):
            raise ValueError(
                f"interaction of {self.name} must be one of {', '.join(get_args(Interaction))}, "
                f"not {self.interaction!r}"
            )
        self._check_embeddings()
        self._check_bags()

    def _check_products(self) -> None:
        """A NeuMF: pairs of vectors, no dense features, at least one layer before the last one."""
        if self.bottom:
            raise ValueError(
                f"bottom of {self.name} must be empty with 'product', not {self.bottom}"
            )
        if len(self.top) < 2:
            raise ValueError(f"top of {self.name} must have two layers with 'product'")
        vectors = len(self.embeddings or self.rows)
        if vectors % 2 or not 1 <= self.products <= vectors // 2 - 1:
            raise ValueError(
                f"products of {self.name} must leave a pair of its {vectors} vectors, "
                f"not {self.products}"
            )
        if self.tail % TAIL_UNIT or not TAIL_UNIT <= self.tail <= self.width:
            raise ValueError(
                f"tail of {self.name} must be a multiple of {TAIL_UNIT} up to the width "
                f"{self.width}, not {self.tail}"
            )

    def _check_bags(self) -> None:
        bags = tuple(int(size) for size in self.bags) or (1,) * len(self.rows)
        object.__setattr__(self, "bags", bags)
        if len(bags) != len(self.rows):
            raise ValueError(
                f"bags of {self.name} must be of {len(self.rows)} features, not {len(bags)}"
            )
        for f, size in enumerate(bags):
            if size < 1:
                raise ValueError(
                    f"bag of feature {f} of {self.name} must be at least 1, not {size}"
                )

    def _check_embeddings(self) -> None:
        features = range(len(self.rows))
        default: list[tuple[Source, int]] = [("table", f) for f in features]
        pairs = tuple((source, int(f)) for source, f in self.embeddings or default)
        object.__setattr__(self, "embeddings", pairs)
        sizes = tuple(tuple(int(size) for size in d) for d in self.decoders)
        object.__setattr__(self, "decoders", sizes or ((),) * len(self.rows))
        for pair in pairs:
            if pair[0] not in ("table", "dhe") or pair[1] not in features:
                raise ValueError(f"embeddings of {self.name}: {pair} is no source and feature")
            if pairs.count(pair) > 1:
                raise ValueError(f"embeddings of {self.name} name {pair} twice")
        unused = set(features) - {f for _, f in pairs}
        if unused:
            raise ValueError(f"embeddings of {self.name} have no vector of feature {min(unused)}")
        if len(self.decoders) != len(self.rows):
            raise ValueError(
                f"decoders of {self.name} must be of {len(self.rows)} features, "
                f"not {len(self.decoders)}"
            )
        for f, decoder in enumerate(self.decoders):
            if bool(decoder) != self.has_dhe(f):
                what = "has a decoder but no DHE vector" if decoder else "needs a decoder"
                raise ValueError(f"feature {f} of {self.name} {what}")
            if decoder and (len(decoder) < 2 or min(decoder) < 1 or decoder[-1] != self.width):
                raise ValueError(
                    f"decoder of feature {f} of {self.name} must be sizes of hashes and layers "
                    f"that end in {self.width}, not {decoder}"
                )

    def has_table(self, feature: int) -> bool:
        """Whether the feature has a table."""
        return ("table", feature) in self.embeddings

    def has_dhe(self, feature: int) -> bool:
        """Whether the feature has a DHE vector."""
        return ("dhe", feature) in self.embeddings

    @property
    def table_features(self) -> tuple[int, ...]:
        """Features of the vectors that come from tables, in the order of the interaction."""
        return tuple(f for source, f in self.embeddings if source == "table")

    @property
    def dhe_features(self) -> tuple[int, ...]:
        """Features of the vectors that are decoded, in the order of the interaction."""
        return tuple(f for source, f in self.embeddings if source == "dhe")

    def place_of(self, feature: int) -> int:
        """First place of a feature's ids among those of an item."""
        return sum(self.bags[:feature])

    @property
    def table_places(self) -> tuple[tuple[int, int], ...]:
        """(table, place) of each id that is looked up: tables in the order of their vectors, and
        the id's place among all ids of an item."""
        return tuple(
            (table, self.place_of(feature) + n)
            for table, feature in enumerate(self.table_features)
            for n in range(self.bags[feature])
        )

    @property
    def dense_features(self) -> int:
        return self.bottom[0] if self.bottom else 0

    @property
    def sparse_features(self) -> int:
        """Number of sparse features: ids of an item."""
        return len(self.rows)

    @property
    def id_places(self) -> int:
        """Places for ids of an item: the sizes of all bags."""
        return sum(self.bags)

    @property
    def place_features(self) -> tuple[int, ...]:
        """Feature of each place of an item's ids; bags one after the other."""
        return tuple(f for f, size in enumerate(self.bags) for _ in range(size))

    @property
    def vectors(self) -> int:
        """Vectors of the interaction: the dense vector, then the embedding vectors."""
        return len(self.embeddings) + 1

    @property
    def pairs(self) -> int:
        """Dot products of the interaction `dot`."""
        return self.vectors * (self.vectors - 1) // 2

    @property
    def interaction_width(self) -> int:
        """Inputs of the top MLP."""
        if self.interaction == "dot":
            return self.width + self.pairs
        if self.interaction == "product":
            return self.copied + self.product_width
        return self.vectors * self.width

    @property
    def product_width(self) -> int:
        """With `product`: inputs of the last layer before those that the layer before gives."""
        return self.products * self.width

    @property
    def copied(self) -> int:
        """With `product`: inputs of the first layer."""
        return (len(self.embeddings) - 2 * self.products - 2) * self.width + 2 * self.tail

    @property
    def top_sizes(self) -> tuple[int, ...]:
        """Sizes of the top MLP with its input, as `bottom` has them; not with `product`, whose last
        layer has inputs of its own: see `top_layers`."""
        return (self.interaction_width, *self.top)

    @property
    def bottom_layers(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of each layer of the bottom MLP."""
        return tuple(zip(self.bottom, self.bottom[1:], strict=False))

    @property
    def top_layers(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of each layer of the top MLP."""
        first = self.copied if self.interaction == "product" else self.interaction_width
        inputs = [first, *self.top[:-1]]
        inputs[-1] += self.product_width
        return tuple(zip(inputs, self.top, strict=True))

    @property
    def decoder_macs(self) -> int:
        """Multiply-accumulates of all decoders for one item with one id a feature."""
        return sum(map(layer_macs, self.decoders))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the MLPs and decoders for one item (dot products not counted)."""
        layers = (*self.bottom_layers, *self.top_layers)
        return sum(inputs * outputs for inputs, outputs in layers) + self.decoder_macs
