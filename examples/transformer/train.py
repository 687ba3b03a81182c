"""A GPT-2 of two layers learns the text beside this file with the Hugging Face Trainer, and survives being interrupted.

Nothing is downloaded: the tokenizer is trained on the text as well, and the weights begin at random. For a model of
your own, load both with `from_pretrained`; the rest stays.
"""

import os
from functools import partial
from pathlib import Path

import torch
from tokenizers import ByteLevelBPETokenizer
from torch.utils.data import Dataset
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    set_seed,
)

STEPS = int(os.environ.get("STEPS", "240"))
SAVE_STEPS = int(os.environ.get("SAVE_STEPS", "40"))
SHARD_SIZE = os.environ.get("SHARD_SIZE", "5GB")
CHECKPOINTS = Path(os.environ.get("BT_CHECKPOINT_DIR", "checkpoints"))
LOADED = Path(os.environ.get("BT_LOAD_CHECKPOINT_DIR", "loaded"))
TEXT = Path(__file__).with_name("text.txt")
CONTEXT = 64
END = "<|endoftext|>"


class Pieces(Dataset):
    """A text in pieces of CONTEXT tokens, to be continued token by token."""

    def __init__(self, tokens: list[int]) -> None:
        self.pieces = [tokens[start : start + CONTEXT] for start in range(0, len(tokens) - CONTEXT, CONTEXT // 2)]

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return {"input_ids": self.pieces[index], "labels": self.pieces[index]}


def tokenizer_of(text: str) -> PreTrainedTokenizerFast:
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator([text], vocab_size=1024, special_tokens=[END], show_progress=False)
    return PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, eos_token=END, pad_token=END)


def new_model(tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
    end = tokenizer.eos_token_id
    size = {"n_layer": 2, "n_embd": 64, "n_head": 2, "n_positions": 4 * CONTEXT}
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), bos_token_id=end, eos_token_id=end, pad_token_id=end, **size)
    )
    # The Trainer has no option for it.
    model.save_pretrained = partial(model.save_pretrained, max_shard_size=SHARD_SIZE)
    return model


def loaded_checkpoint() -> Path | None:
    """The newest checkpoint that the platform put in place before the start."""
    states = LOADED.rglob("checkpoint-*/trainer_state.json")
    return max((state.parent for state in states), key=lambda folder: int(folder.name.split("-")[1]), default=None)


def main() -> None:
    set_seed(0)
    text = TEXT.read_text()
    tokenizer = tokenizer_of(text)
    tokens = tokenizer(text)["input_ids"]
    held_out = len(tokens) // 10
    arguments = TrainingArguments(
        output_dir=str(CHECKPOINTS),
        max_steps=STEPS,
        per_device_train_batch_size=8,
        learning_rate=2e-3,
        lr_scheduler_type="cosine",
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=SAVE_STEPS,
        save_steps=SAVE_STEPS,
        logging_steps=max(1, SAVE_STEPS // 5),
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
    )
    trainer = Trainer(
        model=new_model(tokenizer),
        args=arguments,
        train_dataset=Pieces(tokens[:-held_out]),
        eval_dataset=Pieces(tokens[-held_out:]),
        processing_class=tokenizer,
    )
    folder = loaded_checkpoint()
    if folder:
        print(f"Resuming from {folder.name}")
    trainer.train(resume_from_checkpoint=str(folder) if folder else None)


if __name__ == "__main__":
    main()
