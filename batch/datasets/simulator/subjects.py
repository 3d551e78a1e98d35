"""What the simulated courses are about: subjects, their tracks, and the skills of each track, most general first."""

from __future__ import annotations

_SKILLS = {
    "Data Science": {
        "machine learning": "Machine Learning, Deep Learning, Neural Networks, Feature Engineering, "
        "Model Evaluation, Gradient Boosting, PyTorch",
        "data analysis": "Data Analysis, Exploratory Analysis, Pandas, Data Cleaning, "
        "Dashboards, Data Storytelling, Tableau",
        "statistics": "Statistics, Probability, Hypothesis Testing, Regression Models, "
        "Bayesian Inference, Experiment Design, R Programming",
    },
    "Computer Science": {
        "web development": "Web Development, JavaScript, React, HTML and CSS, REST Interfaces, Node.js, Accessibility",
        "programming": "Python Programming, Algorithms, Data Structures, Object-Oriented Design, "
        "Unit Testing, Refactoring, Recursion",
        "mobile apps": "Mobile Development, Kotlin, Swift, Android, iOS, App Publishing, Flutter",
    },
    "Information Technology": {
        "cloud": "Cloud Computing, Containers, Kubernetes, Infrastructure as Code, "
        "Serverless, Monitoring, Cost Control",
        "security": "Cybersecurity, Network Security, Cryptography, Threat Modelling, "
        "Incident Response, Penetration Testing, Access Control",
        "databases": "Databases, SQL, Data Warehouses, Query Tuning, Event Streaming, NoSQL, Data Modelling",
    },
    "Business": {
        "marketing": "Digital Marketing, Brand Strategy, Search Engine Optimisation, Content Marketing, "
        "Social Media, Market Research, Email Campaigns",
        "leadership": "Leadership, Team Management, Conflict Resolution, Coaching, "
        "Change Management, Delegation, Negotiation",
        "entrepreneurship": "Entrepreneurship, Business Models, Pitching, Fundraising, "
        "Product Strategy, Customer Discovery, Pricing",
    },
    "Finance": {
        "accounting": "Accounting, Bookkeeping, Financial Statements, Taxation, "
        "Auditing, Cost Accounting, Spreadsheets",
        "investing": "Investing, Portfolio Theory, Stock Valuation, Bonds, "
        "Derivatives, Risk Management, Behavioural Finance",
        "corporate finance": "Corporate Finance, Capital Budgeting, Mergers and Acquisitions, Cash Flow, "
        "Financial Modelling, Valuation, Treasury",
    },
    "Design": {
        "user experience": "User Experience Design, User Research, Wireframing, Prototyping, "
        "Usability Testing, Information Architecture, Figma",
        "graphic design": "Graphic Design, Typography, Colour Theory, Illustration, "
        "Logo Design, Layout, Vector Graphics",
        "video and photo": "Photography, Video Editing, Lighting, Colour Grading, "
        "Storyboarding, Sound Recording, Animation",
    },
    "Language Learning": {
        "english": "English Grammar, Academic Writing, Pronunciation, Business English, "
        "Vocabulary, Listening, Exam Preparation",
        "spanish": "Spanish, Spanish Conversation, Spanish Grammar, Latin American Culture, "
        "Spanish Reading, Spanish Verbs, Travel Spanish",
        "mandarin": "Mandarin, Chinese Characters, Tones, Chinese Culture, "
        "Mandarin Conversation, Pinyin, Business Chinese",
    },
    "Health": {
        "nutrition": "Nutrition, Healthy Eating, Diet Planning, Food Science, "
        "Metabolism, Sports Nutrition, Child Nutrition",
        "mental health": "Mental Health, Stress Management, Mindfulness, Psychological First Aid, "
        "Sleep, Resilience, Counselling",
        "public health": "Public Health, Epidemiology, Vaccination, Global Health, "
        "Health Policy, Biostatistics, Disease Prevention",
    },
    "Personal Development": {
        "productivity": "Time Management, Goal Setting, Note Taking, Habit Building, "
        "Remote Work, Focus, Learning How to Learn",
        "communication": "Public Speaking, Presentation Skills, Active Listening, Storytelling, "
        "Persuasion, Writing Clearly, Feedback",
        "career": "Career Planning, Job Interviews, Résumé Writing, Networking, "
        "Personal Branding, Mentoring, Salary Negotiation",
    },
    "Arts and Humanities": {
        "music": "Music Theory, Songwriting, Guitar, Piano, Music Production, Ear Training, Jazz Improvisation",
        "history": "World History, Ancient Rome, Modern Europe, Art History, Archaeology, Oral History, Museum Studies",
        "philosophy": "Philosophy, Ethics, Logic, Critical Thinking, "
        "Political Philosophy, Philosophy of Mind, Aesthetics",
    },
    "Science and Engineering": {
        "physics": "Physics, Classical Mechanics, Electromagnetism, Quantum Mechanics, "
        "Thermodynamics, Relativity, Astronomy",
        "biology": "Biology, Genetics, Cell Biology, Ecology, Evolution, Neuroscience, Bioinformatics",
        "electronics": "Electronics, Circuits, Arduino, Signal Processing, Robotics, Control Systems, Embedded Systems",
    },
    "Sustainability": {
        "climate": "Climate Change, Carbon Accounting, Climate Policy, Adaptation, "
        "Climate Science, Net Zero Planning, Biodiversity",
        "energy": "Renewable Energy, Solar Power, Wind Power, Energy Storage, Smart Grids, Energy Efficiency, Hydrogen",
        "cities": "Sustainable Cities, Urban Planning, Green Buildings, Public Transport, "
        "Circular Economy, Waste Management, Water Management",
    },
}
SUBJECTS: dict[str, dict[str, tuple[str, ...]]] = {
    subject: {track: tuple(skills.split(", ")) for track, skills in tracks.items()}
    for subject, tracks in _SKILLS.items()
}
LEVELS = ("Beginner", "Intermediate", "Advanced")
LANGUAGES = ("English", "Spanish", "French", "German")

TITLES: dict[str, tuple[str, ...]] = {
    "Beginner": (
        "Introduction to {main}",
        "{main} for Beginners",
        "First Steps in {main}",
        "{main} Fundamentals",
        "Getting Started with {main}",
    ),
    "Intermediate": (
        "{main} in Practice",
        "Applied {main}",
        "{main} with {second}",
        "Working with {main}",
        "{main} Projects",
    ),
    "Advanced": (
        "Advanced {main}",
        "Mastering {main}",
        "{main} at Scale",
        "Expert {main}: {second} and Beyond",
        "Research Topics in {main}",
    ),
}
OPENINGS = (
    "Build a solid understanding of {main} and see how it connects to {second}.",
    "{main} from the ground up: clear explanations, short videos and graded exercises.",
    "Everything you need to use {main} with confidence at work.",
    "A hands-on journey through {track}, from {main} to {second}.",
    "Learn {main} by doing: each week ends with a small project.",
)
MIDDLES = (
    "You will practise {second} and {third} on realistic cases from {subject}.",
    "Along the way you meet {second}, {third} and the mistakes most people make.",
    "The course covers {third} step by step and compares the common approaches to {second}.",
    "Guest speakers from {subject} show how they use {second} every day.",
)
CLOSINGS = {
    "Beginner": ("No previous knowledge is needed.", "Made for complete newcomers.", "All you need is curiosity."),
    "Intermediate": ("You should know the basics already.", "Some first experience with {track} helps."),
    "Advanced": ("Solid experience with {track} is expected.", "For practitioners who want to go further."),
}
